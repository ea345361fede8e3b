"""A bucket in S3, Amazon's or a compatible server's: objects by key, with failures as our own errors."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bioseg.errors import SettingsError, StoreUnavailable

CONNECT_SECONDS = 3
READ_SECONDS = 10
ATTEMPTS = 3
CONNECTIONS = 32


def open_bucket(place: str, endpoint: str) -> "Bucket":
    """Open `//BUCKET/PREFIX`, whose prefix may be missing, with the credentials that boto3 finds.

    Nothing is asked of the server yet. The bucket has to be there.

    Raises
    ------
    SettingsError
        When there are no credentials, or the endpoint is no address.
    """
    name, _, prefix = place.removeprefix("//").partition("/")
    session = boto3.session.Session()
    if session.get_credentials() is None:
        raise SettingsError(
            "S3 needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or any other way that boto3 knows"
        )
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=CONNECTIONS,
        s3={"addressing_style": "path"} if endpoint else None,
        # The hash of the whole content is sent and verified here; not every server knows the default, CRC-64.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    region = session.region_name or "us-east-1"
    try:
        client = session.client("s3", endpoint_url=endpoint or None, region_name=region, config=config)
    except ValueError:
        raise SettingsError("BIOSEG_S3_ENDPOINT is no address; give for instance http://127.0.0.1:8333") from None
    return Bucket(client, name, prefix.strip("/"))


class Bucket:
    """Objects below a prefix of a bucket; threads may share it.

    Every method raises StoreUnavailable when the server does not answer or refuses. The message names the bucket and
    the server's error code, and never what was sent.
    """

    def __init__(self, client: Any, name: str, prefix: str) -> None:
        self._client = client
        self._name = name
        self._prefix = f"{prefix}/" if prefix else ""

    def address(self, key: str) -> str:
        """The address of an object or folder as people write it."""
        return f"s3://{self._name}/{self._prefix}{key}"

    def put(self, key: str, data: bytes, media_type: str) -> None:
        """Store an object durably; the server verifies its sha256 before it answers."""
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        with self._answering():
            self._client.put_object(**self._object(key), Body=data, ContentType=media_type, ChecksumSHA256=checksum)

    def get(self, key: str) -> bytes | None:
        """Read an object; None when it is missing."""
        with self._answering():
            try:
                return bytes(self._client.get_object(**self._object(key))["Body"].read())
            except self._client.exceptions.NoSuchKey:
                return None

    def exists(self, key: str) -> bool:
        """Tell whether there is such an object, without reading it."""
        with self._answering():
            try:
                self._client.head_object(**self._object(key))
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
                    return False
                raise
            return True

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is fine."""
        with self._answering():
            self._client.delete_object(**self._object(key))

    def keys(self, start: str) -> list[str]:
        """Keys that begin with `start`, without the prefix."""
        with self._answering():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._name, Prefix=self._prefix + start
            )
            found = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return [key.removeprefix(self._prefix) for key in found]

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": self._prefix + key}

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn failures of server and network into StoreUnavailable; their own texts may quote what was sent."""
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            raise StoreUnavailable(
                f"the store s3://{self._name} refuses: {code}; check bucket, credentials and their rights"
            ) from None
        except BotoCoreError as error:
            raise StoreUnavailable(
                f"the store s3://{self._name} does not answer: {type(error).__name__}; check BIOSEG_S3_ENDPOINT"
            ) from None

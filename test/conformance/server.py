"""A running Bioseg as its callers see it: an address, perhaps a token, and the uploads that were made."""

import io
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray
from PIL import Image
from requests.adapters import HTTPAdapter
from urllib3 import Retry

TIMEOUT_SECONDS = 120
POLL_SECONDS = 0.5
ANOTHER_TRY = Retry(
    total=8, connect=0, read=0, status_forcelist=[429, 503], allowed_methods=None, raise_on_status=False
)
"""A server that is busy, or limits its callers, says when to come back."""


class Server:
    """One caller of a server, with a cookie of its own; it deletes what it has uploaded with `tidy`.

    Parameters
    ----------
    address
        Base URL, without a slash at its end.
    token
        API token of the installation; empty: it needs none.
    """

    def __init__(self, address: str, token: str = "") -> None:
        self.address, self._token = address, token
        self._session = requests.Session()
        self._session.headers.update({"Authorization": f"Bearer {token}"} if token else {})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=ANOTHER_TRY))
        self._ids: set[str] = set()

    def wait(self, seconds: float) -> None:
        """Wait until it is ready, so long at most; raises TimeoutError with what it said last."""
        deadline, said = time.monotonic() + seconds, "nothing"
        while time.monotonic() < deadline:
            try:
                answer = requests.get(f"{self.address}/readyz", timeout=TIMEOUT_SECONDS)
                if answer.ok:
                    return
                said = f"{answer.status_code} {answer.text}"
            except requests.ConnectionError as error:
                said = str(error)
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{self.address} is not ready: {said}")

    def stranger(self) -> "Server":
        """Somebody else, who has no cookie and no token."""
        return Server(self.address)

    def call(self, method: str, path: str, **given: Any) -> requests.Response:
        """Make one call; `given` is what `requests` takes."""
        return self._session.request(method, f"{self.address}{path}", timeout=TIMEOUT_SECONDS, **given)

    def get(self, path: str, **given: Any) -> requests.Response:
        """Read something."""
        return self.call("GET", path, **given)

    def upload(
        self, image: bytes, call: str = "segment", headers: Mapping[str, str] | None = None, **form: str
    ) -> requests.Response:
        """Send one image to `segment` or `classify`, and remember which request it became."""
        answer = self.call("POST", f"/api/v1/{call}", files={"image": image}, data=form, headers=headers)
        is_json = "json" in answer.headers.get("Content-Type", "")
        found = answer.json().get("id") if is_json else answer.headers.get("Bioseg-Id")
        self._ids |= {found} if found else set()
        return answer

    def picture(self, path: str) -> NDArray[Any]:
        """Read a picture; values as they are stored, shape (height, width) or (height, width, 3)."""
        answer = self.get(path)
        answer.raise_for_status()
        return pixels(answer.content)

    def tidy(self) -> None:
        """Delete the pictures of everything that was uploaded; what is gone already is fine."""
        for request_id in self._ids:
            answer = self.call("DELETE", f"/api/v1/requests/{request_id}")
            if answer.status_code not in {204, 404}:
                raise RuntimeError(f"request {request_id} was not deleted: {answer.status_code} {answer.text}")
        self._ids.clear()


def pixels(picture: bytes) -> NDArray[Any]:
    """Decode a PNG or TIFF; one of 1 bit gives 0 and 255."""
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("L") if image.mode == "1" else image)

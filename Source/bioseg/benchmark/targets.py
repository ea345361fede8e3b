"""What the client sends to each server: the same picture, as each of them takes it."""

import base64
import json
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from urllib3.filepost import encode_multipart_formdata

from bioseg.benchmark.load import Target

PNG = {"Content-Type": "image/png"}
SLOW_SHARE = 0.05
"""Of the requests to the others that a slow server gets."""


def ours(port: int, picture: bytes) -> Target:
    """An upload as the page sends it, answered with the mask; screen, database, pictures and telemetry included."""
    body, content_type = _form(picture)
    return Target(port, "/api/v1/segment", headers={"Content-Type": content_type, "Accept": "image/png"}, body=body)


def seeds_way(port: int, picture: bytes) -> Target:
    """An upload as a form, answered with the mask in base64."""
    body, content_type = _form(picture)
    return Target(port, "/predict", headers={"Content-Type": content_type}, body=body)


def bentoml(port: int, picture: bytes) -> Target:
    """The picture as the body, answered with the mask."""
    return Target(port, "/segment", headers=PNG, body=picture)


def litserve(port: int, picture: bytes) -> Target:
    """The picture in a form, answered with the mask."""
    body, content_type = _form(picture)
    return Target(port, "/predict", headers={"Content-Type": content_type}, body=body)


def mlflow_base64(port: int, picture: bytes) -> Target:
    """The picture in base64 within JSON, the only way in for bytes; answered likewise."""
    return _invocation(port, [base64.b64encode(picture).decode()])


def mlflow_arrays(port: int, picture: bytes) -> Target:
    """The decoded picture as lists of numbers within JSON; answered likewise. Slow, so it is asked less often."""
    gray = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    return replace(_invocation(port, [np.asarray(gray).tolist()]), share=SLOW_SHARE)


def _invocation(port: int, inputs: list[Any]) -> Target:
    body = json.dumps({"inputs": inputs}).encode()
    return Target(port, "/invocations", headers={"Content-Type": "application/json"}, body=body)


def alive(port: int) -> Target:
    """The probe: no model, no database."""
    return Target(port, "/livez", "GET")


def too_large(port: int, size: int) -> Target:
    """An upload that announces too many bytes; none of them is sent, and none should be waited for."""
    headers = {"Content-Type": "multipart/form-data; boundary=none", "Content-Length": str(size)}
    return Target(port, "/api/v1/segment", headers=headers, status=413)


def _form(picture: bytes) -> tuple[bytes, str]:
    return encode_multipart_formdata({"image": ("section.png", picture, "image/png")})

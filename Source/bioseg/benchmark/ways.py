"""The ways to a mask that are compared, each as a call without arguments."""

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import urllib3
from urllib3.filepost import encode_multipart_formdata

from bioseg import images
from bioseg.benchmark import figures
from bioseg.benchmark.runtimes import SCREEN, SEGMENTER, network
from bioseg.errors import ProcessFailed, RuntimeUnavailable
from bioseg.runtime import Arm

TIMEOUT_SECONDS = 600
EXAMPLE = Path("static/examples/section-1.png")
UPLOADED_SIDE = 512
"""Up to this side the example is continued by its mirror image, which keeps its scale; above, it is enlarged."""


def section(side: int) -> bytes:
    """The page's example section as PNG of side x side pixels, gray.

    Raises
    ------
    RuntimeUnavailable
        When the web application is not installed.
    """
    application = importlib.util.find_spec("application")
    if application is None or application.origin is None:
        raise RuntimeUnavailable("the web application is not installed: pip install 'bioseg[serve]'")
    data = Path(application.origin).with_name(EXAMPLE.parts[0]).joinpath(*EXAMPLE.parts[1:]).read_bytes()
    gray = images.to_uint8(images.decode(data, images.Limits(len(data), UPLOADED_SIDE**2)))
    height, width = gray.shape[:2]
    mirrored = np.pad(gray, ((0, UPLOADED_SIDE - height), (0, UPLOADED_SIDE - width)), mode="symmetric")
    if side > UPLOADED_SIDE:
        mirrored = np.asarray(cv2.resize(mirrored, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
    return images.encode_png(np.ascontiguousarray(mirrored[:side, :side]))


class Ours:
    """One upload to a running Bioseg, answered with the mask; screen, database and blob store included."""

    def __init__(self, port: int, picture: bytes) -> None:
        self._pool = _connection(port)
        self._body, content_type = _form(picture)
        self._headers = {"Content-Type": content_type, "Accept": "image/png"}

    def __call__(self) -> None:
        """Upload once, and wait for the mask."""
        answer = _checked(self._pool.request("POST", "/api/v1/segment", body=self._body, headers=self._headers))
        if "Set-Cookie" in answer.headers:
            self._headers["Cookie"] = answer.headers["Set-Cookie"].partition(";")[0]

    def stages(self, last: int) -> dict[str, float]:
        """Median milliseconds of each stage over the last requests, as the server kept them."""
        cookie = {"Cookie": self._headers["Cookie"]}
        answer = _checked(self._pool.request("GET", f"/api/v1/requests?limit={last}", headers=cookie))
        return figures.medians([record["timings_ms"] for record in json.loads(answer.data)["requests"]])


class SeedsWay:
    """One upload to the seed's way, answered with the mask in JSON."""

    def __init__(self, port: int, picture: bytes) -> None:
        self._pool = _connection(port)
        self._body, content_type = _form(picture)
        self._headers = {"Content-Type": content_type}

    def __call__(self) -> None:
        """Upload once, and wait for the mask."""
        _checked(self._pool.request("POST", "/predict", body=self._body, headers=self._headers))


def bare_loop(arms: Mapping[str, Arm], picture: bytes) -> Callable[[], None]:
    """Screen and segmenter on the decoded picture, in this process and with nothing around them."""
    image = images.decode(picture, images.Limits(len(picture), UPLOADED_SIDE**2))
    screen, segment = network(arms[SCREEN], image), network(arms[SEGMENTER], image)

    def both() -> None:
        screen()
        segment()

    return both


def _connection(port: int) -> urllib3.HTTPConnectionPool:
    """One connection that is kept."""
    return urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1, retries=False, timeout=TIMEOUT_SECONDS)


def _form(picture: bytes) -> tuple[bytes, str]:
    return encode_multipart_formdata({"image": ("section.png", picture, "image/png")})


def _checked(answer: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
    if answer.status != 200:
        reason = answer.data[:500].decode(errors="replace")
        raise ProcessFailed(f"{answer.url} answered {answer.status}: {reason}; nothing can be compared")
    return answer

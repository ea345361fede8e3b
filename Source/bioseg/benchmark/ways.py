"""The ways to a mask that are compared, each as a call without arguments."""

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np

from bioseg import images
from bioseg.benchmark.champions import SCREEN, SEGMENTER, network
from bioseg.benchmark.load import Answer, Client, Target, checked
from bioseg.decoding import formats
from bioseg.errors import RuntimeUnavailable
from bioseg.runtime import Arm

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
    gray = images.to_uint8(formats.decode(data, images.Limits(len(data), UPLOADED_SIDE**2)))
    height, width = gray.shape[:2]
    mirrored = np.pad(gray, ((0, UPLOADED_SIDE - height), (0, UPLOADED_SIDE - width)), mode="symmetric")
    if side > UPLOADED_SIDE:
        mirrored = np.asarray(cv2.resize(mirrored, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
    return images.encode_png(np.ascontiguousarray(mirrored[:side, :side]))


@contextmanager
def asking(target: Target) -> Iterator[Callable[[], Answer]]:
    """One user of a server: each call asks once, and raises ProcessFailed when the answer is not what was expected."""
    with closing(Client(target.port)) as client:
        yield lambda: checked(target, client.ask(target))


def bare_loop(arms: Mapping[str, Arm], picture: bytes) -> Callable[[], None]:
    """Screen and segmenter on the decoded picture, in this process and with nothing around them."""
    image = formats.decode(picture, images.Limits(len(picture), UPLOADED_SIDE**2))
    screen, segment = network(arms[SCREEN], image), network(arms[SEGMENTER], image)

    def both() -> None:
        screen()
        segment()

    return both

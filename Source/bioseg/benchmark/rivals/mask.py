"""What every one of the other servers does with an upload: decode, both networks, threshold, PNG."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from bioseg import images
from bioseg import settings as configuration
from bioseg.benchmark import champions, machine

Gray = NDArray[np.uint8]


def processes() -> int:
    """As many serving processes as keep all CPUs busy, each with the threads that the settings name."""
    return machine.processes(configuration.load().inference_threads())


def drawer() -> Callable[[bytes], bytes]:
    """Load the champions that the settings name.

    Returns
    -------
    Maps an encoded picture to the PNG of its mask. Preparation, networks and encoder are those of ours; what ours does
    beside (limits, verdict, records, pictures kept, telemetry) is left out.
    """
    mark = marker()

    def draw(data: bytes) -> bytes:
        gray = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
        return images.encode_mask(mark(gray))

    return draw


def marker() -> Callable[[Gray], NDArray[np.bool_]]:
    """Load them as `drawer` does; maps a decoded picture (height, width) to its mask of the same shape."""
    arms = champions.arms(configuration.load())
    screen, segmenter = arms[champions.SCREEN], arms[champions.SEGMENTER]

    def mark(gray: Gray) -> NDArray[np.bool_]:
        champions.network(screen, gray)()
        probability = champions.network(segmenter, gray)()
        return np.asarray(probability > segmenter.contract.threshold)

    return mark

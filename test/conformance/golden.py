"""What the shipped champions answered to each upload: `golden/answers.json` and the pictures beside it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from server import pixels

HERE = Path(__file__).parent
UPLOADS = HERE / "uploads"
PICTURES = HERE / "golden"
ANSWERS: dict[str, Any] = json.loads((PICTURES / "answers.json").read_text())
"""`versions` by study, `precision` of `membrane`, then what is expected by the file name of the upload: `segment`,
`refused` and `classify`."""

DIFFERING_PIXELS = 1e-5
"""Share of a mask's pixels that may differ between machines which compute in the precision of the golden answers."""
PROBABILITY_STEP = 1
"""How much an 8-bit probability may differ there."""
SCORE = 1e-3
"""How much a probability of the screen or of a class may differ."""
REDUCED_IOU = 0.999
"""Intersection over union that a mask keeps when the server computes in another precision."""


def upload(name: str) -> bytes:
    """Bytes of an upload."""
    return (UPLOADS / name).read_bytes()


def picture(name: str, what: str) -> NDArray[Any]:
    """What a champion made of an upload: `mask`, 0 and 255, or `probability`, 0 to 255; shape (height, width)."""
    return pixels((PICTURES / f"{Path(name).stem}.{what}.png").read_bytes())


def differing(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Share of pixels, 0 to 1, in which two masks of one shape differ."""
    return float(np.mean(first != second))


def iou(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Intersection over union of the foregrounds of two masks; 1 when both are empty."""
    first, second = first == 255, second == 255
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0

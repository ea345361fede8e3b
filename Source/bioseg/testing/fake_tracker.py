"""A tracker that keeps everything in lists."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class FakeTracker:
    """What a training run told its tracker: `settings`, `points` (step, values), `pictures` and `folders`."""

    name = "fake"

    def __init__(self) -> None:
        self.settings: dict[str, object] = {}
        self.points: list[tuple[int, dict[str, float]]] = []
        self.pictures: dict[str, NDArray[np.uint8]] = {}
        self.folders: list[Path] = []

    def parameters(self, values: Mapping[str, object]) -> None:
        """Keep settings."""
        self.settings |= values

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Keep a point of each curve."""
        self.points.append((step, dict(values)))

    def picture(self, name: str, image: NDArray[np.uint8]) -> None:
        """Keep an image (H, W, 3)."""
        self.pictures[name] = image

    def folder(self, path: Path) -> None:
        """Keep the path."""
        self.folders.append(path)

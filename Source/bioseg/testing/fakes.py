"""Stand-ins for loaded networks: no framework, no file, the properties that callers rely on."""

import cv2
import numpy as np

from bioseg.inference import Floats, Predictor


class FakeSegmenter:
    """A smoothing filter that behaves as a U-Net does where it matters to its callers.

    Zeros stand beyond the border of what it is given; its output depends on the place in a grid of `multiple` pixels,
    as pooling makes it, and on nothing farther than `halo`. It remembers the shapes it was given.

    Parameters
    ----------
    multiple
        What height and width must be multiples of.
    radius
        Of the filter, in cells of the grid.
    """

    def __init__(self, multiple: int = 4, radius: int = 2) -> None:
        self.multiple = multiple
        self.radius = radius
        self.shapes: list[tuple[int, ...]] = []

    @property
    def halo(self) -> int:
        """Context on which the output depends, rounded up to the grid."""
        return (self.radius + 1) * self.multiple

    def __call__(self, batch: Floats) -> Floats:
        """(N, H, W, C) -> (N, H, W, 1) in [0, 1]."""
        self.shapes.append(batch.shape)
        return np.stack([self._smoothed(image) for image in batch])

    def _smoothed(self, image: Floats) -> Floats:
        height, width, _ = image.shape
        grid = self.multiple
        gray = image.mean(axis=2, dtype=np.float32)
        pooled = gray.reshape(height // grid, grid, width // grid, grid).max(axis=(1, 3))
        side = 2 * self.radius + 1
        smooth = cv2.blur(pooled, (side, side), borderType=cv2.BORDER_CONSTANT)
        logits = gray + np.repeat(np.repeat(np.asarray(smooth, np.float32), grid, axis=0), grid, axis=1)
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)[..., np.newaxis]


def fake_classifier(*logits: float) -> Predictor:
    """Give a predictor (N, H, W, C) -> (N, classes) that answers the same logits whatever it is shown."""

    def predict(batch: Floats) -> Floats:
        return np.tile(np.array(logits, np.float32), (len(batch), 1))

    return predict

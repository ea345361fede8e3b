"""How a classifier does on images that arrive worse than they were taken: a table of corruptions, one strength each.

The kinds and the name follow Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions",
ICLR 2019; strengths are relative to the image, so that sizes and bit depths compare.
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bioseg import images
from bioseg.bundles import Contract
from bioseg.datasets import Sample
from bioseg.evaluation import classification
from bioseg.evaluation.report import Row
from bioseg.inference import Predictor
from bioseg.study import Study

Picture = NDArray[np.uint8]

BLUR = 1 / 128
NOISE = 25.0
JPEG = 10
ROTATION = 30.0


def corrupted(
    study: Study, contract: Contract, predict: Predictor, samples: Sequence[Sample], drawn: Sequence[int] = ()
) -> dict[str, Row]:
    """Score a version on every corruption of the same images; raises as `classification.evaluate` does.

    Returns, by corruption, the accuracy and the balanced accuracy, and per screened study the balanced accuracy of its
    verdicts and the share that it asks about.
    """
    return {
        name: _row(study, contract, classification.judge(study, contract, predict, samples, drawn, change))
        for name, change in CORRUPTIONS.items()
    }


def _row(study: Study, contract: Contract, judged: classification.Judged) -> Row:
    recalls = classification.recalls(contract, judged)
    right = judged.probabilities.argmax(axis=1) == judged.labels
    row = {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean([recall.mean for recall in recalls.values()])),
    }
    for other in classification.screened_by(study.name):
        found = classification.screening(other, contract, judged).metrics
        row[f"{other.name} balanced_accuracy"] = found["balanced_accuracy"].mean
        row[f"{other.name} asked"] = found["asked"].mean
    return row


def _blurred(picture: Picture) -> Picture:
    """Gaussian blur, standard deviation a 128th of the shorter side."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), BLUR * min(picture.shape[:2])), np.uint8)


def _noisy(picture: Picture) -> Picture:
    """Gaussian noise, standard deviation a tenth of the range; the same for images of one shape."""
    noise = np.random.default_rng(0).normal(0, NOISE, picture.shape)
    return np.asarray(np.clip(picture + noise, 0, 255), np.uint8)


def _compressed(picture: Picture) -> Picture:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)


def _flat(picture: Picture) -> Picture:
    """Half the contrast about the mean."""
    return np.asarray(picture.mean() + (picture - picture.mean()) / 2, np.uint8)


def _inverted(picture: Picture) -> Picture:
    return np.asarray(cv2.bitwise_not(picture), np.uint8)


def _rotated(picture: Picture) -> Picture:
    """Turned by 30 degrees about the middle; the corners are filled with the mirrored image."""
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), ROTATION, 1.0)
    return np.asarray(cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def _cropped(picture: Picture) -> Picture:
    """Middle half of either side."""
    height, width = picture.shape[:2]
    return picture[height // 4 : height - height // 4, width // 4 : width - width // 4]


def _on_bytes(change: Callable[[Picture], Picture]) -> classification.Change:
    return lambda image: change(images.to_uint8(image))


CORRUPTIONS: Mapping[str, classification.Change] = {
    "blur": _on_bytes(_blurred),
    "noise": _on_bytes(_noisy),
    "JPEG": _on_bytes(_compressed),
    "contrast": _on_bytes(_flat),
    "inversion": _on_bytes(_inverted),
    "rotation": _on_bytes(_rotated),
    "crop": _on_bytes(_cropped),
}

"""Versions that teach another network: what they say, together, of samples that nobody labelled.

Hinton et al., "Distilling the knowledge in a neural network", 2015; unlabelled samples as in Xie et al., "Self-training
with Noisy Student", CVPR 2020.
"""

from collections.abc import Sequence

import numpy as np

from bioseg.bundles import Bundle
from bioseg.datasets import Splits, pixels
from bioseg.errors import DatasetError, InvalidInput
from bioseg.inference import openvino_runtime
from bioseg.inference.segmenting import foreground_probability
from bioseg.settings import usable_cpus
from bioseg.study import SegmenterRecipe
from bioseg.training import segmenter


def lessons(recipe: SegmenterRecipe, splits: Splits, teachers: Sequence[Bundle]) -> list[segmenter.Pair]:
    """Let versions of a segmenter say what the unlabelled samples show.

    What they say is the mean probability over them and over the eight flips and quarter turns of a sample.

    Returns
    -------
    A pair for each unlabelled sample, see `segmenter.lesson`.

    Raises
    ------
    InvalidInput
        When there is no teacher.
    DatasetError
        When there are no unlabelled samples.
    """
    if not teachers:
        raise InvalidInput("this recipe learns from other versions: name one at least with --teacher")
    if not splits.unlabelled:
        study = teachers[0].contract.study
        raise DatasetError(f"no unlabelled samples of {study} to teach by: this copy of the data lacks them")
    heard = [
        (openvino_runtime.load(teacher, usable_cpus()), teacher.contract.model_copy(update={"judged": "eightfold"}))
        for teacher in teachers
    ]
    found = []
    for sample in splits.unlabelled:
        picture = pixels.image(sample)
        said = [foreground_probability(predict, contract, picture) for predict, contract in heard]
        found.append(segmenter.lesson(recipe, picture, np.mean(said, axis=0, dtype=np.float32)))
    return found

"""Networks that teach another: what they say, together, of samples that nobody labelled.

Hinton et al., "Distilling the knowledge in a neural network", 2015; unlabelled samples as in Xie et al., "Self-training
with Noisy Student", CVPR 2020.
"""

from dataclasses import replace

import numpy as np

from bioseg.datasets import Splits, pixels
from bioseg.errors import DatasetError, InvalidInput
from bioseg.inference.eightfold import eightfold
from bioseg.inference.segmenting import foreground_probability
from bioseg.study import SegmenterRecipe, Study
from bioseg.training import Run, segmenter
from bioseg.training.contracts import draft
from bioseg.training.torch_device import device


def lessons(study: Study, recipe: SegmenterRecipe, splits: Splits, run: Run) -> list[segmenter.Pair]:
    """Fit the teachers of a recipe on the samples for fitting, and let them say what the unlabelled ones show.

    What they say is the mean probability over the teachers and the eight flips and quarter turns of a sample. A teacher
    is a fit of its own, with its own curves and checkpoint, whose names begin with `teacher1_` and so on.

    Returns
    -------
    A pair for each unlabelled sample, see `segmenter.lesson`.

    Raises
    ------
    DatasetError
        When there are no unlabelled samples.
    InvalidInput
        When the teachers are no segmenters.
    """
    if not splits.unlabelled:
        raise DatasetError(f"no unlabelled samples of {study.name} to teach by: this copy of the data lacks them")
    teaching = study.recipes[recipe.taught_by]
    if not isinstance(teaching, SegmenterRecipe):
        raise InvalidInput(f"{recipe.taught_by} of {study.name} is no recipe of a segmenter: name another teacher")
    framework, contract = segmenter.framework_of(teaching), draft(study, teaching, "teaching")
    predictors = []
    for number in range(1, recipe.teachers + 1):
        own = replace(run, seed=run.seed + number, stage=f"{run.stage}teacher{number}_")
        network = segmenter.fit(study, teaching, splits, own)
        framework.place(network, device())
        predictors.append(eightfold(framework.predictor(network, contract)))
    found = []
    for sample in splits.unlabelled:
        picture = pixels.image(sample)
        said = [foreground_probability(predict, contract, picture) for predict in predictors]
        found.append(segmenter.lesson(recipe, picture, np.mean(said, axis=0, dtype=np.float32)))
    return found

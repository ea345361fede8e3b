"""Fit a segmenter, in whichever framework its recipe names: the steps are the same."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bioseg import images, metrics
from bioseg.bundles import Contract
from bioseg.datasets import Sample, Splits, digest, pixels
from bioseg.datasets.augment import view
from bioseg.errors import DatasetError, InvalidInput
from bioseg.evaluation import segmentation
from bioseg.inference import Predictor, segmenting
from bioseg.inference.normalising import UNIT, normalised, standard_scale
from bioseg.study import SegmenterRecipe, Study
from bioseg.training import Run, Tracker, torch_checkpoint
from bioseg.training.ahead import ahead
from bioseg.training.borders import closeness
from bioseg.training.contracts import draft
from bioseg.training.schedules import Budget, WarmCosine
from bioseg.training.torch_device import described, device
from bioseg.training.torch_learner import Learnable, Learner

CHECKPOINT = "last.safetensors"
EPOCHS_BETWEEN_CHECKS = 5

Floats = NDArray[np.float32]
Pair = tuple[Floats, Floats]


def fit(
    study: Study,
    recipe: SegmenterRecipe,
    splits: Splits,
    run: Run,
    start: Sequence[Floats] | None = None,
    lessons: Callable[[], Sequence[Pair]] = tuple,
) -> Any:
    """Fit a network on the samples for fitting.

    Parameters
    ----------
    splits
        The samples for choosing draw a curve and one sample prediction; those for scoring are not read.
    run
        Its folder gets `<stage>last.safetensors`. When the file is there, a fit of the same settings and data goes on
        from it, and ends as one that was never interrupted; one that ended is not done again. One that the clock stops
        gets its minutes anew.
    start
        Weights to begin with, as `get_weights` of a network of the recipe gives them; None: random ones.
    lessons
        Gives pairs like those of `pair` with what teachers say in place of the labels; half of the views are of them.
        Asked only for a recipe that is taught and has steps to take.

    Returns
    -------
    A `keras.Model` or `models.torch_unet.UNet` with averaged weights, ready for export.

    Raises
    ------
    DatasetError
        When there is no sample to fit on.
    InvalidInput
        When the file is of another fit, `start` of another network, or there is neither an epoch nor a start.
    """
    if not splits.fit:
        raise DatasetError(f"no samples to fit {study.name} on: this copy of the data lacks them")
    if start is None and recipe.epochs == 0 and run.minutes is None:
        raise InvalidInput(f"this recipe of {study.name} takes no step: name a version to begin with by --start")
    framework = framework_of(recipe)
    averaged = framework.built(recipe, run.seed)
    if start is not None:
        _start_with(averaged, start, recipe)
    kept, made_by = run.checkpoints / f"{run.stage}{CHECKPOINT}", _made_by(study, recipe, splits, run)
    contract = draft(study, recipe, "fitting")
    predict = framework.predictor(averaged, contract)
    if saved := torch_checkpoint.ended(kept, made_by, run):
        averaged.set_weights([saved[place].numpy() for place in sorted(saved)])
    else:
        learner = Learner(framework.learnable(recipe, averaged.get_weights()), recipe)
        run.recall(learner.restore(kept, made_by))
        run.computed[run.stage] = described()
        framework.place(averaged, device())
        pools: list[Sequence[Pair]] = [[pair(study, recipe, sample) for sample in splits.fit]]
        if recipe.taught:
            pools.append(lessons())
        for done, loss in _epochs(learner, recipe, pools, run):
            epoch, checked = -(-learner.steps // recipe.steps), {}
            if epoch % EPOCHS_BETWEEN_CHECKS == 0:
                averaged.set_weights(learner.averaged())
                checked = _check(study, contract, predict, splits.choose)
            run.report(epoch, learner.steps, done, {"loss": loss} | checked)
            if epoch % EPOCHS_BETWEEN_CHECKS == 0:
                learner.save(kept, made_by, run.notes(done))
        framework.place(averaged, torch.device("cpu"))
        averaged.set_weights(learner.averaged())
        learner.save_average(kept, made_by, run.notes(1))
    _show(contract, predict, splits.choose, run.tracker)
    return averaged


class _Framework(Protocol):
    """What a framework builds; a network of it has `get_weights` and `set_weights`."""

    def built(self, recipe: SegmenterRecipe, seed: int) -> Any: ...

    def learnable(self, recipe: SegmenterRecipe, weights: Sequence[Floats]) -> Learnable: ...

    def predictor(self, network: Any, contract: Contract) -> Predictor: ...

    def place(self, network: Any, where: torch.device) -> None: ...


def framework_of(recipe: SegmenterRecipe) -> _Framework:
    """What builds the networks of a recipe."""
    if recipe.framework == "torch":
        from bioseg.training import torch_segmenter

        return torch_segmenter
    from bioseg.training import keras_segmenter

    return keras_segmenter


def _start_with(network: Any, weights: Sequence[Floats], recipe: SegmenterRecipe) -> None:
    if [weight.shape for weight in weights] != [weight.shape for weight in network.get_weights()]:
        raise InvalidInput(
            f"the network to start from is none of {recipe.architecture} {recipe.filters}: start from nothing"
        )
    network.set_weights(weights)


def _made_by(study: Study, recipe: SegmenterRecipe, splits: Splits, run: Run) -> dict[str, str]:
    """What a fit has to share with the one that it goes on from."""
    return {"study": study.name, "recipe": repr(recipe), "seed": str(run.seed), "fitted on": digest(splits.fit)}


def _epochs(
    learner: Learner, recipe: SegmenterRecipe, pools: Sequence[Sequence[Pair]], run: Run
) -> Iterator[tuple[float, float]]:
    """Train until the budget is used up; yields the share done and mean loss of each epoch, in the end a share of 1.

    By the clock the last epoch may be short, or hold no step at all: then the loss before it is given again.
    """
    budget = Budget(recipe.epochs * recipe.steps, run.minutes)
    cosine = WarmCosine(recipe.learning_rate)
    for step in range(learner.steps):
        cosine.rate(step, budget.done(step))
    done, loss = budget.done(learner.steps), float("nan")
    with closing(ahead(_batches(pools, recipe, run.seed, learner.steps))) as batches:
        while done < 1:
            losses: list[float] = []
            while len(losses) < recipe.steps and (done := budget.done(learner.steps)) < 1:
                rate = cosine.rate(learner.steps, done) if recipe.schedule == "cosine" else recipe.learning_rate
                losses.append(learner.learn(*next(batches), rate))
            loss = float(np.mean(losses)) if losses else loss
            done = budget.done(learner.steps)  # by the clock it may be up only now, with no step left to take
            yield done, loss


def _batches(pools: Sequence[Sequence[Pair]], recipe: SegmenterRecipe, seed: int, first: int) -> Iterator[Pair]:
    """Views of each step from the first on, without end; those of a step are the same in every fit of the seed."""
    return (_batch(pools, recipe, np.random.default_rng([seed, step])) for step in count(first))


def _batch(pools: Sequence[Sequence[Pair]], recipe: SegmenterRecipe, rng: np.random.Generator) -> Pair:
    """Random views: images (batch, channels, size, size) and targets (batch, 2, size, size), see `pair`.

    The pools take turns.
    """
    turns = [pools[place % len(pools)] for place in range(recipe.batch)]
    chosen = [pool[int(rng.integers(len(pool)))] for pool in turns]
    views = [view(image, target, recipe.size, recipe.augmentation, rng) for image, target in chosen]
    image, target = (np.stack(part).transpose(0, 3, 1, 2) for part in zip(*views, strict=True))
    return np.ascontiguousarray(image), np.ascontiguousarray(target)


def pair(study: Study, recipe: SegmenterRecipe, sample: Sample) -> Pair:
    """Image (H, W, channels) on the network's scale and target (H, W, 2), both squeezed where the recipe says so.

    The target holds the foreground, 0 or 1, and the weight of each pixel.
    """
    image = _intensities(pixels.image(sample), recipe)
    mask = pixels.foreground(sample, study.foreground_value)
    if image.shape[:2] != mask.shape:
        raise DatasetError(f"{sample.image} and its label image differ in size: pair them again")
    if recipe.view == "resize":
        image = segmenting.squeezed(image, recipe.size)
        # by area: the nearest pixel lies off the middle, which costs .005 of Dice score at 192 pixels of 512
        mask = segmenting.squeezed(mask.astype(np.float32), recipe.size)[..., 0] > 0.5
    weight = 1 + recipe.border * closeness(mask, recipe.border_width) if recipe.border else np.ones(mask.shape)
    return image, np.stack([mask, weight], axis=-1).astype(np.float32)


def lesson(recipe: SegmenterRecipe, picture: images.Image, probability: Floats) -> Pair:
    """Give like `pair`, with the probability (H, W) of the foreground in place of a label and pixels of equal weight.

    For recipes whose views are crops.
    """
    return _intensities(picture, recipe), np.stack([probability, np.ones_like(probability)], axis=-1)


def _intensities(picture: images.Image, recipe: SegmenterRecipe) -> Floats:
    """(H, W, channels) on the scale that the contract names."""
    scale = standard_scale(picture, recipe.channels) if recipe.normalisation == "standard" else UNIT
    return normalised(picture, recipe.channels, scale)


def _check(study: Study, contract: Contract, predict: Predictor, samples: Sequence[Sample]) -> dict[str, float]:
    """Mean Dice score at 0.5 on the samples for choosing."""
    predictions = segmentation.predictions(study, contract, predict, samples)
    scores = [metrics.confusion_counts(probability > 0.5, truth).dice for probability, truth in predictions]
    return {"choose_dice": float(np.mean(scores))} if scores else {}


def _show(contract: Contract, predict: Predictor, samples: Sequence[Sample], tracker: Tracker) -> None:
    """Keep the mask of one sample, laid over it."""
    for sample in samples[:1]:
        picture = pixels.image(sample)
        probability = segmenting.foreground_probability(predict, contract, picture)
        tracker.picture(sample.image.stem, images.overlay(images.to_uint8(picture), probability > 0.5))

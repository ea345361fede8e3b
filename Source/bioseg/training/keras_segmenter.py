"""Fit a segmenter in Keras on its torch backend."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bioseg import images, metrics
from bioseg.bundles import Contract
from bioseg.datasets import Sample, Splits, pixels
from bioseg.datasets.augment import view
from bioseg.errors import DatasetError
from bioseg.evaluation import segmentation
from bioseg.inference import Predictor, segmenting
from bioseg.inference.layout import from_stored, to_stored
from bioseg.models import keras_torch_backend
from bioseg.study import SegmenterRecipe, Study
from bioseg.training import Run, Tracker
from bioseg.training.contracts import draft
from bioseg.training.schedules import Budget, WarmCosine

CHECKPOINT = "last.keras"
EPOCHS_BETWEEN_CHECKS = 5

Floats = NDArray[np.float32]
Pair = tuple[Floats, NDArray[np.uint8]]


def fit(study: Study, recipe: SegmenterRecipe, splits: Splits, run: Run) -> Any:
    """Fit a network on the samples for fitting.

    Parameters
    ----------
    splits
        The samples for choosing draw a curve and one sample prediction; those for scoring are not read.
    run
        Its folder gets `last.keras`, with the optimiser's state.

    Returns
    -------
    A `keras.Model` with averaged weights, without its optimiser, ready for export.

    Raises
    ------
    DatasetError
        When there is no sample to fit on.
    """
    if not splits.fit:
        raise DatasetError(f"no samples to fit {study.name} on: this copy of the data lacks them")
    keras_torch_backend.use_torch()
    import keras

    keras.utils.set_random_seed(run.seed)
    model = _compiled(recipe)
    batches = _batches([pair(study, recipe, sample) for sample in splits.fit], recipe, run.seed)
    contract = draft(study, recipe, "fitting")
    predict = _predictor(model, contract)
    for epoch, (done, loss) in enumerate(_epochs(model, recipe, batches, run.minutes), start=1):
        checked = {}
        if epoch % EPOCHS_BETWEEN_CHECKS == 0:
            model.save(run.checkpoints / CHECKPOINT)
            checked = _check(study, contract, predict, splits.choose)
        run.report(epoch, epoch * recipe.steps, done, {"loss": loss} | checked)
    if recipe.averaging:
        model.optimizer.finalize_variable_values(model.trainable_weights)
    _show(contract, predict, splits.choose, run.tracker)
    fitted = _built(recipe)
    fitted.set_weights(model.get_weights())
    return fitted


def _built(recipe: SegmenterRecipe) -> Any:
    from bioseg.models import keras_unet

    build: dict[str, Callable[..., Any]] = {"unet": keras_unet.unet, "plain_unet": keras_unet.plain_unet}
    return build[recipe.architecture](recipe.filters)


def _compiled(recipe: SegmenterRecipe) -> Any:
    import keras

    model = _built(recipe)
    averaging = {"use_ema": True, "ema_momentum": recipe.averaging} if recipe.averaging else {}
    optimiser = keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay, **averaging)
    model.compile(optimiser, {"bce": _cross_entropy, "bce+dice": _cross_entropy_and_dice}[recipe.loss])
    return model


def _cross_entropy(truth: Any, probability: Any) -> Any:
    import keras

    return keras.ops.mean(keras.losses.binary_crossentropy(truth, probability))


def _cross_entropy_and_dice(truth: Any, probability: Any) -> Any:
    """Add the soft Dice loss of the whole batch (Milletari et al., "V-Net", 2016) to the cross-entropy."""
    from keras import ops

    overlap = 2 * ops.sum(truth * probability) + 1
    return _cross_entropy(truth, probability) + 1 - overlap / (ops.sum(truth) + ops.sum(probability) + 1)


def _epochs(
    model: Any, recipe: SegmenterRecipe, batches: Iterator[tuple[Floats, Floats]], minutes: float | None
) -> Iterator[tuple[float, float]]:
    """Train until the budget is used up; yields the share done and mean loss of each epoch, the last maybe short."""
    budget = Budget(recipe.epochs * recipe.steps, minutes)
    cosine = WarmCosine(recipe.learning_rate)
    step = 0
    while budget.done(step) < 1:
        losses = []
        for _ in range(recipe.steps):
            done = budget.done(step)
            if done == 1:
                break
            if recipe.schedule == "cosine":
                model.optimizer.learning_rate = cosine.rate(step, done)
            losses.append(float(model.train_on_batch(*next(batches))))
            step += 1
        model.reset_metrics()
        yield budget.done(step), float(np.mean(losses))


def _batches(pairs: Sequence[Pair], recipe: SegmenterRecipe, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """Random views without end: images and masks, each (batch, 1, size, size)."""
    rng = np.random.default_rng(seed)
    while True:
        chosen = [pairs[int(rng.integers(len(pairs)))] for _ in range(recipe.batch)]
        views = [view(image, mask, recipe.size, recipe.augmentation, rng) for image, mask in chosen]
        yield _stacked([image for image, _ in views]), _stacked([mask for _, mask in views])


def _stacked(maps: Sequence[NDArray[Any]]) -> Floats:
    """Maps (H, W) -> (N, 1, H, W)."""
    return np.stack(maps)[:, np.newaxis].astype(np.float32)


def pair(study: Study, recipe: SegmenterRecipe, sample: Sample) -> Pair:
    """Image (H, W) on the network's scale and mask (H, W) of 0 and 1; of the recipe's size if it squeezes images."""
    gray = images.grayscale(pixels.image(sample))
    image = images.standardise(gray) if recipe.normalisation == "standard" else gray
    mask = pixels.foreground(sample, study.foreground_value).astype(np.uint8)
    if image.shape != mask.shape:
        raise DatasetError(f"{sample.image} and its label image differ in size: pair them again")
    if recipe.view == "crop":
        return image, mask
    square = (recipe.size, recipe.size)
    shrinking = cv2.INTER_AREA if min(image.shape) > recipe.size else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(image, square, interpolation=shrinking), np.float32)
    return small, np.asarray(cv2.resize(mask, square, interpolation=cv2.INTER_NEAREST), np.uint8)


def _predictor(model: Any, contract: Contract) -> Predictor:
    def predict(batch: Floats) -> Floats:
        return from_stored(model.predict_on_batch(to_stored(batch, contract)), contract)

    return predict


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

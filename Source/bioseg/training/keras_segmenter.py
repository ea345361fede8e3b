"""Networks of Keras, on its torch backend, as the fit of a segmenter takes them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from bioseg.bundles import Contract
from bioseg.inference import Predictor
from bioseg.inference.layout import from_stored, to_stored
from bioseg.models import keras_torch_backend
from bioseg.study import SegmenterRecipe
from bioseg.training.mixed_precision import arithmetic
from bioseg.training.torch_learner import Floats, Learnable, channels_last


def built(recipe: SegmenterRecipe, seed: int) -> Any:
    """Build the `keras.Model` of a recipe with random weights: what a fit gives in the end."""
    keras_torch_backend.use_torch()
    import keras

    keras.utils.set_random_seed(seed)
    return _built(recipe, keras.layers.BatchNormalization)


def learnable(recipe: SegmenterRecipe, weights: Sequence[Floats]) -> Learnable:
    """Build the network of a recipe that takes the steps, with these weights."""
    from bioseg.models.keras_torch_layers import FusedBatchNormalization

    with _computing():
        network = _built(recipe, FusedBatchNormalization)
    network.set_weights(weights)
    channels_last(network)
    learning = {id(weight) for weight in network.trainable_weights}
    return Learnable(
        run=partial(network, training=True),
        weights=[weight.value for weight in network.weights],
        learns=[id(weight) in learning for weight in network.weights],
    )


def predictor(network: Any, contract: Contract) -> Predictor:
    """Run a network of `built` as it is at the time of each call."""

    def predict(batch: Floats) -> Floats:
        return from_stored(network.predict_on_batch(to_stored(batch, contract)), contract)

    return predict


@contextmanager
def _computing() -> Iterator[None]:
    """Build layers that convolve in `mixed_precision.arithmetic`; under `torch.autocast` Keras would cast at each."""
    import keras

    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if arithmetic() == "bfloat16" else usual)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(usual)


def _built(recipe: SegmenterRecipe, normalisation: Any) -> Any:
    from bioseg.models import keras_bcdunet, keras_unet

    if recipe.architecture == "plain_unet":
        return keras_unet.plain_unet(recipe.filters)
    if recipe.architecture == "bcdunet":
        return keras_bcdunet.bcdunet(recipe.filters, recipe.size, normalisation, recipe.channels)
    return keras_unet.unet(recipe.filters, normalisation, recipe.channels)

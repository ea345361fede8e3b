"""Networks of Keras, on its torch backend, as the fit of a segmenter takes them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from bioseg.bundles import Contract
from bioseg.inference import Predictor
from bioseg.inference.layout import from_stored, to_stored
from bioseg.models import keras_torch_backend
from bioseg.study import SegmenterRecipe
from bioseg.training.torch_device import arithmetic, device
from bioseg.training.torch_learner import Floats, Learnable, channels_last


def built(recipe: SegmenterRecipe, seed: int) -> Any:
    """Build the `keras.Model` of a recipe with random weights: what a fit gives in the end."""
    keras_torch_backend.use_torch()
    import keras

    keras.utils.set_random_seed(seed)
    return _built(recipe, keras.layers.BatchNormalization)


def learnable(recipe: SegmenterRecipe, weights: Sequence[Floats]) -> Learnable:
    """Build the network of a recipe that takes the steps, with these weights."""
    import keras

    from bioseg.models.keras_torch_layers import FusedBatchNormalization

    with _computing():
        network = _built(recipe, FusedBatchNormalization)
    network.set_weights(weights)
    place(network, device())
    channels_last(network)
    learning = {id(weight) for weight in network.trainable_weights}

    def run(views: torch.Tensor) -> torch.Tensor:
        with keras.device(views.device.type):
            return network(views, training=True)  # type: ignore[no-any-return]

    return Learnable(
        run=run,
        weights=[weight.value for weight in network.weights],
        learns=[id(weight) in learning for weight in network.weights],
    )


def predictor(network: Any, contract: Contract) -> Predictor:
    """Run a network of `built` as it is, and where it lies, at the time of each call."""
    import keras

    def predict(batch: Floats) -> Floats:
        with keras.device(network.weights[0].value.device.type):
            return from_stored(network.predict_on_batch(to_stored(batch, contract)), contract)

    return predict


def place(network: Any, where: torch.device) -> None:
    """Move the weights of a network of `built`."""
    network.to(where)


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

"""Networks of torch as the fit of a segmenter takes them."""

from collections.abc import Sequence

import torch

from bioseg.bundles import Contract
from bioseg.inference import Predictor
from bioseg.inference.layout import from_stored, to_stored
from bioseg.models.torch_unet import UNet
from bioseg.study import SegmenterRecipe
from bioseg.training.torch_device import device, mixed
from bioseg.training.torch_learner import Floats, Learnable, channels_last


def built(recipe: SegmenterRecipe, seed: int) -> UNet:
    """Build the network of a recipe with random weights, to predict: what a fit gives in the end."""
    torch.manual_seed(seed)
    return UNet(recipe.filters, recipe.channels).eval()


def learnable(recipe: SegmenterRecipe, weights: Sequence[Floats]) -> Learnable:
    """Build the network of a recipe that takes the steps, with these weights."""
    network = UNet(recipe.filters, recipe.channels).train()
    network.set_weights(weights)
    place(network, device())
    channels_last(network)
    learning = {id(parameter) for parameter in network.parameters()}
    kept = [tensor for tensor in network.state_dict(keep_vars=True).values() if tensor.is_floating_point()]

    def run(views: torch.Tensor) -> torch.Tensor:
        with mixed():
            return network(views)  # type: ignore[no-any-return]

    return Learnable(run=run, weights=kept, learns=[id(tensor) in learning for tensor in kept])


def predictor(network: UNet, contract: Contract) -> Predictor:
    """Run a network of `built` as it is, and where it lies, at the time of each call."""

    def predict(batch: Floats) -> Floats:
        where = next(network.parameters()).device
        with torch.inference_mode():
            given = network(torch.from_numpy(to_stored(batch, contract)).to(where))
        return from_stored(given.cpu().numpy(), contract)

    return predict


def place(network: UNet, where: torch.device) -> None:
    """Move the weights of a network of `built`."""
    network.to(where)

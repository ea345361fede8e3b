"""A ResNet-18 that tells drawn kinds of images apart: random features, of which only the last layer is fitted."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bioseg.models.torch_resnet_vgg import classifier

SEED = 5
DECAY = 3e-3


def fitted(pictures: NDArray[np.float32], labels: Sequence[int], classes: int) -> nn.Module:
    """Fit the head on pictures (N, side, side, 3) in [0, 1] and their class numbers, by L-BFGS on all of them."""
    torch.manual_seed(SEED)
    model = classifier("resnet18", classes)
    batch = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    target = torch.tensor(labels)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model(batch)
        model.eval()
        features = model.get_submodule("features")(model.get_submodule("scale")(batch))
    _fit_head(model.get_submodule("head"), features, target)
    return model


def _fit_head(head: nn.Module, features: torch.Tensor, target: torch.Tensor) -> None:
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=100, line_search_fn="strong_wolfe")
    weights = list(head.parameters())

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        decay = torch.stack([weight.square().sum() for weight in weights]).sum()
        value = nn.functional.cross_entropy(head(features), target) + DECAY * decay
        value.backward()
        return value

    optimiser.step(loss)

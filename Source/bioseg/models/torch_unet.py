"""U-Net (Ronneberger, Fischer and Brox 2015) in torch: the layers of `keras_unet.unet`, in the same order."""

from collections.abc import Mapping, Sequence
from itertools import count, takewhile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

# Keras's own: the statistics move by a hundredth at each step
MOMENTUM = 0.01
EPSILON = 1e-3


class UNet(nn.Module):
    """U-Net with batch normalisation, from (N, channels, H, W) standardised float32 to probabilities (N, 1, H, W).

    Height and width are multiples of 2**(levels - 1).

    Parameters
    ----------
    filters
        Channels of each level, from full resolution down.
    channels
        Of the image.
    """

    def __init__(self, filters: Sequence[int], channels: int = 1) -> None:
        super().__init__()
        *upper, bottom = range(len(filters))
        entering = (channels, *filters)
        self.encoder = nn.ModuleList(_convolutions(entering[level], filters[level], level) for level in upper)
        self.encoder.append(_convolutions(entering[bottom], filters[bottom], max(bottom, 1)))
        self.decoder = nn.ModuleList(Joined(filters[level + 1], filters[level], level) for level in reversed(upper))
        self.probability = nn.Conv2d(filters[0], 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Probability of the foreground in [0, 1]."""
        x, skips = image, []
        for level in self.encoder[:-1]:
            x = level(x)
            skips.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.encoder[-1](x)
        for level, skip in zip(self.decoder, reversed(skips), strict=True):
            x = level(skip, x)
        return torch.sigmoid(self.probability(x).float())

    def get_weights(self) -> list[NDArray[np.float32]]:
        """Every weight and statistic, layer by layer, as a Keras model gives its own."""
        return [tensor.numpy() for tensor in floats(self)]

    def set_weights(self, weights: Sequence[NDArray[np.float32]]) -> None:
        """Take over what `get_weights` gave."""
        with torch.no_grad():
            for tensor, value in zip(floats(self), weights, strict=True):
                tensor.copy_(torch.from_numpy(value))


class Joined(nn.Module):
    """A level of the decoder: what comes from below, twice as large, beside the skip, and its convolutions."""

    def __init__(self, below: int, width: int, level: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(below, width, 2, stride=2)
        self.convolve = _convolutions(2 * width, width, level)

    def forward(self, skip: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        """(N, width, H, W) and (N, below, H / 2, W / 2) -> (N, width, H, W)."""
        joined: torch.Tensor = self.convolve(torch.cat([skip, self.enlarge(below)], dim=1))
        return joined


def floats(network: UNet) -> list[torch.Tensor]:
    """Weights and statistics without gradients, in the order of the layers; they share memory with the network."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]


def shaped_as(weights: Mapping[str, torch.Tensor]) -> UNet:
    """Build the network whose weights these are, and fill it.

    Raises
    ------
    KeyError, RuntimeError
        When they are those of another network.
    """
    first = "encoder.{}.0.weight"
    levels = takewhile(lambda level: first.format(level) in weights, count())
    filters = [len(weights[first.format(level)]) for level in levels]
    network = UNet(filters, weights[first.format(0)].shape[1])
    network.load_state_dict(dict(weights))
    return network


def _convolutions(entering: int, width: int, level: int) -> nn.Sequential:
    """Convolutions of a level: one at full resolution, else two."""
    layers: list[nn.Module] = []
    for channels in (entering, width)[: min(level + 1, 2)]:
        convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight)
        layers += [convolution, nn.BatchNorm2d(width, EPSILON, MOMENTUM), nn.ReLU()]
    return nn.Sequential(*layers)

"""Every image classifier in torch, by the name of its architecture."""

from typing import get_args

import torch
from torch import nn

from bioseg.errors import InvalidInput
from bioseg.models import torch_cnn_attention, torch_resnet_vgg

ARCHITECTURES: tuple[str, ...] = (
    *get_args(torch_resnet_vgg.Architecture),
    *get_args(torch_cnn_attention.Architecture),
)


def classifier(architecture: str, classes: int, side: int, *, pretrained: bool = False) -> nn.Sequential:
    """Build a classifier of images (N, 3, side, side) in [0, 1], with the parts `scale`, `features` and `head`.

    It gives logits (N, classes), or evidence (N, classes, h, w) whose mean over the places are the logits; `logits`
    tells them from either.

    Raises
    ------
    InvalidInput
        When there is no such architecture, or no pretrained weights of it.
    """
    if architecture in get_args(torch_cnn_attention.Architecture):
        if pretrained:
            raise InvalidInput(f"there are no pretrained weights of {architecture!r}: fit it from random ones")
        # cast: get_args tells mypy nothing
        return torch_cnn_attention.classifier(architecture, classes, side)  # type: ignore[arg-type]
    if architecture in get_args(torch_resnet_vgg.Architecture):
        return torch_resnet_vgg.classifier(architecture, classes, pretrained=pretrained)  # type: ignore[arg-type]
    raise InvalidInput(f"torch builds no {architecture!r}; there are: {', '.join(ARCHITECTURES)}")


def logits(output: torch.Tensor) -> torch.Tensor:
    """Logits (N, classes) of what a classifier gives, itself or their evidence (N, classes, h, w)."""
    return output if output.ndim == 2 else output.mean(dim=(2, 3))

"""Small classifiers of gray images: a four-layer CNN, self-attention alone, and self-attention on a CNN.

All give the evidence for each class at each place, (N, classes, h, w); the mean over the places are the logits.
"""

from typing import Literal

import torch
from torch import nn

Architecture = Literal["cnn", "attention", "cnn_attention"]

CHANNELS = (32, 64, 128, 256)
WIDTH = 128
HEADS = 4
PATCH = 16
REDUCTION = 16
"""How much smaller than the image the features of the convolutions are, in height and width."""
DEPTH = {"attention": 4, "cnn_attention": 1}
FLAT = 1e-3


class GrayStandard(nn.Module):
    """Maps (N, 3, H, W) intensities in [0, 1] to the gray (N, 1, H, W) of mean 0 and variance 1 in each image."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Average the channels, then standardise; an image without contrast becomes zeros."""
        gray = image.mean(dim=1, keepdim=True)
        centred = gray - gray.mean(dim=(2, 3), keepdim=True)
        return centred / (centred.square().mean(dim=(2, 3), keepdim=True).sqrt() + FLAT)


class SelfAttention(nn.Module):
    """One layer of a transformer encoder on tokens (N, T, width), normalised before each part.

    Vaswani et al., "Attention is all you need", 2017; Dosovitskiy et al., "An image is worth 16x16 words", 2021.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.mixed = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Let every token take from every other."""
        n, count, width = tokens.shape
        parts = self.mixed(self.before(tokens)).reshape(n, count, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(dim=-1)
        tokens = tokens + self.joined((weights @ value).transpose(1, 2).reshape(n, count, width))
        given: torch.Tensor = tokens + self.perceptron(tokens)
        return given


class AttentionMap(nn.Module):
    """Self-attention between the places of a map (N, width, places, places), each with a learnt position."""

    def __init__(self, width: int, places: int, depth: int) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(1, places**2, width))
        self.layers = nn.Sequential(*(SelfAttention(width, HEADS) for _ in range(depth)), nn.LayerNorm(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Give a map of the same shape."""
        tokens: torch.Tensor = self.layers(features.flatten(2).transpose(1, 2) + self.position)
        return tokens.transpose(1, 2).reshape(features.shape)


def classifier(architecture: Architecture, classes: int, side: int) -> nn.Sequential:
    """Build a classifier from (N, 3, side, side) in [0, 1] to evidence (N, classes, h, w), h = w = a part of the side.

    The parts are named `scale`, `features` and `head`.
    """
    features, width = {"cnn": _cnn, "attention": _attention, "cnn_attention": _cnn_attention}[architecture](side)
    model = nn.Sequential()
    for name, part in {"scale": GrayStandard(), "features": features, "head": nn.Conv2d(width, classes, 1)}.items():
        model.add_module(name, part)
    return model


def _cnn(_side: int) -> tuple[nn.Sequential, int]:
    """Four convolutions, each normalised; the first halves and three of them pool."""
    first, second, third, last = CHANNELS
    layers = (
        *(nn.Conv2d(1, first, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(first, second, 3, padding=1, bias=False), nn.BatchNorm2d(second), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(second, third, 3, padding=1, bias=False), nn.BatchNorm2d(third), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(third, last, 3, padding=1, bias=False), nn.BatchNorm2d(last), nn.ReLU()),
    )
    return nn.Sequential(*layers), last


def _attention(side: int) -> tuple[nn.Sequential, int]:
    patches = nn.Conv2d(1, WIDTH, PATCH, stride=PATCH)
    return nn.Sequential(patches, AttentionMap(WIDTH, side // PATCH, DEPTH["attention"])), WIDTH


def _cnn_attention(side: int) -> tuple[nn.Sequential, int]:
    convolutions, width = _cnn(side)
    narrow = nn.Conv2d(width, WIDTH, 1)
    attention = AttentionMap(WIDTH, side // REDUCTION, DEPTH["cnn_attention"])
    return nn.Sequential(convolutions, narrow, attention), WIDTH

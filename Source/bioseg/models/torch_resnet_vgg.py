"""Image classifiers from torchvision: ResNet-18, ResNet-50 and VGG-16 with a pooled head."""

from typing import Literal

import torch
from torch import nn

from bioseg.models import torch_operator_schemas

Architecture = Literal["resnet18", "resnet50", "vgg16"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageNetScale(nn.Module):
    """Maps (N, 3, H, W) intensities in [0, 1] to the scale that ImageNet weights expect."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Standardise each channel."""
        return (image - self.get_buffer("mean")) / self.get_buffer("std")


def classifier(architecture: Architecture, classes: int, *, pretrained: bool = False) -> nn.Sequential:
    """Build a classifier from (N, 3, H, W) RGB in [0, 1].

    A ResNet gives (N, classes) logits. VGG-16 gets one linear head at each place instead of its three large layers,
    which hold nine tenths of its weights, and gives (N, classes, H / 32, W / 32), whose mean are the logits.

    The parts are named `scale`, `features` and `head`. With `pretrained`, ImageNet weights are
    downloaded by torchvision and verified by the hash in their file name.
    """
    torch_operator_schemas.declare()
    from torchvision import models

    weights = {
        "resnet18": models.ResNet18_Weights.IMAGENET1K_V1,
        "resnet50": models.ResNet50_Weights.IMAGENET1K_V2,
        "vgg16": models.VGG16_Weights.IMAGENET1K_V1,
    }[architecture]
    network = models.get_model(architecture, weights=weights if pretrained else None)
    if architecture == "vgg16":
        features: nn.Module = network.features
        head: nn.Module = nn.Conv2d(512, classes, 1)
    else:
        head = nn.Linear(network.fc.in_features, classes)
        network.fc = nn.Identity()
        features = network
    parts = {"scale": ImageNetScale(), "features": features, "head": head}
    model = nn.Sequential()
    for name, part in parts.items():
        model.add_module(name, part)
    return model

"""The study: one kind of image and what is done with it. Building one loads no framework and reads no file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bioseg.datasets import Dataset, Splits
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.augment_picture import PictureView
from bioseg.errors import InvalidInput

Task = Literal["segmentation", "classification"]
NOTICE = "Research use, not for diagnosis."


@dataclass(frozen=True, slots=True)
class SegmenterRecipe:
    """How a segmenter is fitted.

    Parameters
    ----------
    framework, architecture
        Where the network is built, and its name in `models`. All are fitted by the same loop.
    channels
        1: gray images, 3: RGB.
    filters
        Channels of each of its levels.
    view
        `crop`: random square windows, and images of any size are served. `resize`: the whole image squeezed to the
        square; the probability is stretched back.
    size
        Side of the square, pixels.
    epochs, refit_epochs, steps, batch
        An epoch is `steps` steps of `batch` views; those of `refit_epochs` go on from a fit, on more samples. Without
        epochs a version's weights stay as they are, and are judged as the recipe says.
    learning_rate
        Peak of the schedule.
    schedule
        `cosine`: short warm-up, then down to nearly zero. `constant`.
    loss
        `bce` (binary cross-entropy), `dice`, `bce+dice`, `focal` or `bce+cldice`, see `training.torch_losses`.
    border, border_width
        A foreground pixel between two regions weighs 1 + border * exp(-(d / border_width)**2 / 2) in the cross-entropy,
        d being the sum of its distances, pixels, to both. At 0 all pixels weigh 1.
    weight_decay
        Of AdamW, for kernels; 0 makes it Adam.
    averaging
        Momentum of the exponential average of the weights; 0: none.
    normalisation
        As in the bundle's contract.
    judged
        As in the bundle's contract.
    taught
        Whether earlier versions say what they see in the study's unlabelled samples; half of the views are of these.
    """

    framework: Literal["keras", "torch"] = "keras"
    architecture: Literal["unet", "plain_unet", "bcdunet"] = "unet"
    channels: Literal[1, 3] = 1
    filters: tuple[int, ...] = (8, 32, 64, 128, 256)
    view: Literal["crop", "resize"] = "crop"
    size: int = 256
    epochs: int = 27
    refit_epochs: int = 13
    steps: int = 100
    batch: int = 4
    learning_rate: float = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    loss: Literal["bce", "dice", "bce+dice", "focal", "bce+cldice"] = "bce+dice"
    border: float = 0.0
    border_width: float = 5.0
    weight_decay: float = 1e-3
    averaging: float = 0.995
    normalisation: Literal["standard", "unit"] = "standard"
    augmentation: Augmentation = field(default_factory=Augmentation)
    judged: Literal["whole", "eightfold"] = "whole"
    taught: bool = False


@dataclass(frozen=True, slots=True)
class ClassifierRecipe:
    """How a classifier is fitted.

    Parameters
    ----------
    architecture
        `resnet18`, `resnet50` or `vgg16`, as torchvision names them; VGG gets a pooled head. `cnn` (four layers),
        `attention` and `cnn_attention`: small networks for gray images.
    side
        Side of the square that the network takes, pixels.
    pretrained
        Start from ImageNet weights: the head first, then all layers at a tenth of the rate. Otherwise one phase. For
        torchvision's networks.
    head_epochs, epochs
        Epochs of the head's phase and of all layers.
    steps, batch
        An epoch is `steps` steps of `batch` views.
    learning_rate
        Peak of a one-cycle schedule.
    averaging
        Momentum of the exponential average of the weights.
    smoothing
        Share of the truth that is spread over all classes.
    views
        Ranges of the random views of a class; classes without an entry take the default ones.
    judged
        As in the bundle's contract.
    prior
        How frequent the answers take the classes to be: `even`, as they are drawn, or as `sampled` for fitting.
    related
        How the network learns from the related samples of the study's splits first; of it the new head begins anew.
        None: it begins with the study's own.
    """

    architecture: Literal["resnet18", "resnet50", "vgg16", "cnn", "attention", "cnn_attention"] = "resnet18"
    side: int = 128
    pretrained: bool = False
    head_epochs: int = 2
    epochs: int = 15
    steps: int = 50
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 5e-2
    averaging: float = 0.98
    smoothing: float = 0.05
    views: Mapping[str, PictureView] = field(default_factory=dict)
    judged: Literal["whole", "crops"] = "whole"
    prior: Literal["even", "sampled"] = "even"
    related: "ClassifierRecipe | None" = None


Recipe = SegmenterRecipe | ClassifierRecipe


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pictures that are drawn, not read, beside the samples of a classification study; each is given by its number.

    Parameters
    ----------
    origin
        Source and label of a picture, as in a `Sample`.
    draw
        The picture (H, W, 3) uint8, always the same.
    fit, choose, score
        Numbers of the pictures in each part of the split.
    """

    origin: Callable[[int], tuple[str, str]]
    draw: Callable[[int], NDArray[np.uint8]]
    fit: range
    choose: range
    score: range


@dataclass(frozen=True, slots=True)
class Promotion:
    """When a new version may become the champion.

    Parameters
    ----------
    metric
        What counts as quality: a figure of `bioseg evaluate`, higher is better.
    margin
        How much of it may be lost under the goal `not_worse`.
    goal
        `superior`: better in quality. `not_worse`: within the margin, and better in latency or memory.
    """

    metric: str
    margin: float = 0.01
    goal: Literal["superior", "not_worse"] = "superior"


@dataclass(frozen=True, slots=True)
class Study:
    """One kind of image and what is done with it.

    Parameters
    ----------
    name
        Identifier in addresses, commands and folders.
    title
        What people read.
    task
        Of its one model.
    classes
        Labels a user may give; of a classification study also the classes of its model.
    recipes
        How its model is fitted, by the name that `bioseg train --recipe` takes.
    splits
        Lists the samples to fit on, to choose with and to score on, given the folder of the datasets.
    protocols
        Other ways to split, for questions beside the shipped version's, by the name that `--split` takes.
    promotion
        When a new version may become the champion.
    foreground
        Name of what the mask marks (segmentation).
    foreground_value
        Value of the foreground in label images (segmentation).
    most_regions
        How many regions of foreground an image shows at most; None: any number (segmentation).
    foreground_is
        `boundary`: it parts an image into regions, which are scored as well (segmentation). `object`: it does not.
    drawn
        Pictures that join the samples (classification).
    screened_by
        Classification study whose champion screens uploads; None: no screen.
    accepts
        Kinds, of the screening study's classes, that this study accepts.
    datasets
        Where its samples come from, every source of its splits.
    known_failures
        Where its model is known to err, a sentence each; model card, API and page tell them.
    notice
        What everybody has to know who relies on an answer.
    """

    name: str
    title: str
    task: Task
    classes: tuple[str, ...]
    recipes: Mapping[str, Recipe]
    splits: Callable[[Path], Splits]
    promotion: Promotion
    foreground: str = ""
    foreground_value: int = 255
    most_regions: int | None = None
    foreground_is: Literal["object", "boundary"] = "object"
    protocols: Mapping[str, Callable[[Path], Splits]] = field(default_factory=dict)
    drawn: Drawn | None = None
    screened_by: str | None = None
    accepts: tuple[str, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    known_failures: tuple[str, ...] = ()
    notice: str = NOTICE

    def under(self, protocol: str) -> "Study":
        """The same study with the splits of one of its protocols. Raises InvalidInput naming those there are."""
        if protocol not in self.protocols:
            there_are = ", ".join(self.protocols) or "none"
            raise InvalidInput(f"{self.name} has no split {protocol!r} beside its own; there are: {there_are}")
        return replace(self, splits=self.protocols[protocol])

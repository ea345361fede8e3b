"""What a segmenter is taught by: losses of a probability (N, 1, H, W) against the truth, in torch."""

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

FOCUS = 2
"""How much less pixels count that are right already: the power of focal loss."""
THINNINGS = 5
"""Steps of the soft skeleton: half the width, pixels, of the widest boundary that it thins to a line."""

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Of probability, truth and weight of each pixel, each (N, 1, H, W)."""


def loss_of(probability: torch.Tensor, target: torch.Tensor, name: str) -> torch.Tensor:
    """Loss of this name in `LOSSES`; `target` (N, 2, H, W) is the foreground in [0, 1] and the weight of each pixel."""
    return LOSSES[name](probability, target[:, :1], target[:, 1:])


def cross_entropy(probability: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted mean over pixels."""
    return functional.binary_cross_entropy(probability, truth, weight, reduction="sum") / weight.sum()


def focal(probability: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, each pixel times (1 - p)**2 with p the probability of its truth, as a weighted mean.

    Lin et al., "Focal loss for dense object detection", ICCV 2017.
    """
    right = truth * probability + (1 - truth) * (1 - probability)
    surprise = functional.binary_cross_entropy(probability, truth, reduction="none")
    return (weight * (1 - right) ** FOCUS * surprise).sum() / weight.sum()


def dice(probability: torch.Tensor, truth: torch.Tensor, _weight: torch.Tensor) -> torch.Tensor:
    """One minus the soft Dice score of the whole batch. Milletari et al., "V-Net", 2016."""
    return 1 - (2 * (truth * probability).sum() + 1) / (truth.sum() + probability.sum() + 1)


def centreline_dice(probability: torch.Tensor, truth: torch.Tensor, _weight: torch.Tensor) -> torch.Tensor:
    """One minus the soft clDice of the whole batch: how much of each one's skeleton lies in the other.

    Shit et al., "clDice: a novel topology-preserving loss function for tubular structure segmentation", CVPR 2021.
    """
    precision = _inside(soft_skeleton(probability), truth)
    sensitivity = _inside(soft_skeleton(truth), probability)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)


def soft_skeleton(values: torch.Tensor, steps: int = THINNINGS) -> torch.Tensor:
    """Thin (N, 1, H, W) in [0, 1] to its middle lines: what opening takes away at each erosion is kept."""
    skeleton = functional.relu(values - _opened(values))
    for _ in range(steps):
        values = _eroded(values)
        rest = functional.relu(values - _opened(values))
        skeleton = skeleton + functional.relu(rest - skeleton * rest)
    return skeleton


def _inside(skeleton: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    return ((skeleton * region).sum() + 1) / (skeleton.sum() + 1)


def _opened(values: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(_eroded(values), 3, 1, 1)


def _eroded(values: torch.Tensor) -> torch.Tensor:
    """Least value of each pixel's cross of five."""
    down = functional.max_pool2d(-values, (3, 1), 1, (1, 0))
    across = functional.max_pool2d(-values, (1, 3), 1, (0, 1))
    return -torch.maximum(down, across)


def _sum(*parts: tuple[float, Loss]) -> Loss:
    return lambda *given: torch.stack([share * part(*given) for share, part in parts]).sum()


LOSSES: Mapping[str, Loss] = {
    "bce": cross_entropy,
    "dice": dice,
    "bce+dice": _sum((1, cross_entropy), (1, dice)),
    "focal": focal,
    "bce+cldice": _sum((1, cross_entropy), (0.5, dice), (0.5, centreline_dice)),
}

"""A network that learns step by step in torch, the average of its weights, and the file that it goes on from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bioseg.study import SegmenterRecipe
from bioseg.training import torch_checkpoint
from bioseg.training.torch_losses import loss_of

EARLY_AVERAGES = 10
MOMENTS = ("exp_avg", "exp_avg_sq")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Learnable:
    """A network that is to learn.

    Parameters
    ----------
    run
        Maps images (N, channels, H, W) to probabilities (N, 1, H, W), as in training.
    weights
        All that it holds, statistics too, in the order of its `get_weights`; channels last, see `channels_last`.
    learns
        Of each weight, whether gradients move it.
    """

    run: Callable[[torch.Tensor], torch.Tensor]
    weights: Sequence[torch.Tensor]
    learns: Sequence[bool]


def channels_last(network: Any) -> None:
    """Lay the tensors of a network out as convolutions run faster."""
    network.to(memory_format=torch.channels_last)


class Learner:
    """Fits a segmenter.

    Parameters
    ----------
    network
        What learns.
    recipe
        Loss, weight decay (of kernels alone) and averaging.
    """

    def __init__(self, network: Learnable, recipe: SegmenterRecipe) -> None:
        self._run = network.run
        self._recipe = recipe
        self._device = network.weights[0].device
        # Keras counts the layers of a process in their names; places are the same in each
        self._weights = {f"{place:03}": weight for place, weight in enumerate(network.weights)}
        self._averages = {name: value.detach().clone() for name, value in self._weights.items()}
        learns = zip(self._weights.items(), network.learns, strict=True)
        self._learning = {name: value for (name, value), does in learns if does}
        kernels = [value for value in self._learning.values() if value.ndim > 1]
        others = [value for value in self._learning.values() if value.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": kernels}, {"params": others, "weight_decay": 0.0}]
        self._optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)
        self.steps = 0

    def learn(self, image: Floats, target: Floats, rate: float) -> float:
        """Take one step at a learning rate; returns the loss.

        `image` is (N, channels, H, W). `target` (N, 2, H, W) holds the foreground in [0, 1] and each pixel's weight.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        views = torch.from_numpy(image).to(self._device, memory_format=torch.channels_last)
        loss = loss_of(self._run(views), torch.from_numpy(target).to(self._device), self._recipe.loss)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self.steps += 1
        self._average()
        return loss.item()

    def averaged(self) -> list[Floats]:
        """Average of each weight over the steps, in the order of the network's weights, statistics too."""
        return [value.cpu().numpy() for value in self._averages.values()]

    def save(self, file: Path, made_by: Mapping[str, str], notes: Mapping[str, str]) -> None:
        """Write all that a fit goes on from; `made_by` says what fit it is, `notes` how far it came."""
        tensors = {f"weight {name}": value.detach() for name, value in self._weights.items()}
        tensors |= {f"average {name}": value for name, value in self._averages.items()}
        for name, value in self._learning.items():
            tensors |= {f"{moment} {name}": self._optimiser.state[value][moment] for moment in MOMENTS}
        torch_checkpoint.write(file, tensors, made_by, {**notes, "steps": str(self.steps)})

    def save_average(self, file: Path, made_by: Mapping[str, str], notes: Mapping[str, str]) -> None:
        """Write what `averaged` gives, by place: all that is wanted of a fit that ended."""
        torch_checkpoint.write(file, self._averages, made_by, notes)

    def restore(self, file: Path, made_by: Mapping[str, str]) -> dict[str, str]:
        """Go on from a saved file when there is one; gives its notes.

        Raises
        ------
        InvalidInput
            When another fit wrote it.
        """
        try:
            saved, notes = torch_checkpoint.read(file, made_by)
        except FileNotFoundError:
            return {}
        self.steps = int(notes.pop("steps"))
        self._take(saved)
        return notes

    def _take(self, saved: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, value in self._weights.items():
                value.copy_(saved[f"weight {name}"])
                self._averages[name].copy_(saved[f"average {name}"])
        for name, value in self._learning.items():
            moments = {moment: torch.empty_like(value).copy_(saved[f"{moment} {name}"]) for moment in MOMENTS}
            step = torch.tensor(float(self.steps), device=value.device)
            self._optimiser.state[value] = {"step": step, **moments}

    def _average(self) -> None:
        """Move the averages towards the weights, far at first: the very first weights are random."""
        momentum = min(self._recipe.averaging, self.steps / (self.steps + EARLY_AVERAGES))
        weights = [value.detach() for value in self._weights.values()]
        torch._foreach_lerp_(list(self._averages.values()), weights, 1 - momentum)

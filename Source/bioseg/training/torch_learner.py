"""A network that learns step by step in torch, the average of its weights, and the file that it goes on from."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from bioseg.errors import InvalidInput
from bioseg.study import SegmenterRecipe
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
    """Lay the tensors of a network out as a CPU convolves them faster."""
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
        views = torch.from_numpy(image).to(memory_format=torch.channels_last)
        loss = loss_of(self._run(views), torch.from_numpy(target), self._recipe.loss)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self.steps += 1
        self._average()
        return loss.item()

    def averaged(self) -> list[Floats]:
        """Average of each weight over the steps, in the order of the network's weights, statistics too."""
        return [value.numpy() for value in self._averages.values()]

    def save(self, file: Path, made_by: Mapping[str, str]) -> None:
        """Write all that a fit goes on from; `made_by` says what fit it is. A file that is there is replaced whole."""
        tensors = {f"weight {name}": value.detach() for name, value in self._weights.items()}
        tensors |= {f"average {name}": value for name, value in self._averages.items()}
        for name, value in self._learning.items():
            tensors |= {f"{moment} {name}": self._optimiser.state[value][moment] for moment in MOMENTS}
        half_written = file.with_suffix(".part")
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, half_written, {**made_by, "steps": str(self.steps)})
        half_written.replace(file)

    def restore(self, file: Path, made_by: Mapping[str, str]) -> None:
        """Go on from a saved file when there is one.

        Raises
        ------
        InvalidInput
            When another fit wrote it.
        """
        with suppress(FileNotFoundError), safe_open(file, "pt") as saved:
            found = dict(saved.metadata())
            self.steps = int(found.pop("steps"))
            if found != made_by:
                raise InvalidInput(
                    f"{file} is of a fit with other settings or data: remove it, or name another version"
                )
            self._take(saved)

    def _take(self, saved: Any) -> None:
        with torch.no_grad():
            for name, value in self._weights.items():
                value.copy_(saved.get_tensor(f"weight {name}"))
                self._averages[name].copy_(saved.get_tensor(f"average {name}"))
        for name, value in self._learning.items():
            moments = {
                moment: torch.empty_like(value).copy_(saved.get_tensor(f"{moment} {name}")) for moment in MOMENTS
            }
            self._optimiser.state[value] = {"step": torch.tensor(float(self.steps)), **moments}

    def _average(self) -> None:
        """Move the averages towards the weights, far at first: the very first weights are random."""
        momentum = min(self._recipe.averaging, self.steps / (self.steps + EARLY_AVERAGES))
        weights = [value.detach() for value in self._weights.values()]
        torch._foreach_lerp_(list(self._averages.values()), weights, 1 - momentum)

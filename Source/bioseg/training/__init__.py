"""Fitting networks. What reports a fit's course is a protocol here; nothing that serves imports this package."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and a line on how it goes."""


class Tracker(Protocol):
    """Keeps what happens in one training run."""

    @property
    def name(self) -> str:
        """Under which the run is found again; empty when nothing is kept."""
        ...

    def parameters(self, values: Mapping[str, object]) -> None:
        """Keep settings, once each."""
        ...

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each of the named curves."""
        ...

    def picture(self, name: str, image: NDArray[np.uint8]) -> None:
        """Keep an image (H, W, 3), RGB."""
        ...

    def folder(self, path: Path) -> None:
        """Keep every file of a folder."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """What one fit is given beside its recipe and data.

    Parameters
    ----------
    checkpoints
        Folder that gets the state of the network every few epochs.
    minutes
        Fit for so long, the schedule with it, instead of the recipe's epochs.
    stage
        What the names of its curves begin with.
    course
        Points (step, value) of each curve so far, by its name: what the bundle's learning curves are drawn of.
    computed
        In which arithmetic and where each fit ran, by its stage.
    """

    tracker: Tracker
    progress: Progress
    checkpoints: Path
    seed: int
    minutes: float | None = None
    stage: str = ""
    course: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    computed: dict[str, str] = field(default_factory=dict)

    def report(self, epoch: int, step: int, done: float, curve: Mapping[str, float]) -> None:
        """Keep the figures of an epoch, numbered from 1, and say them."""
        named = {f"{self.stage}{name}": value for name, value in curve.items()}
        for name, value in named.items():
            self.course.setdefault(name, []).append((step, round(value, 4)))
        self.tracker.curve(step, named)
        self.progress(done, " ".join([f"epoch {epoch}", *(f"{name} {value:.4f}" for name, value in curve.items())]))

    def notes(self, done: float) -> dict[str, str]:
        """What a checkpoint says of the fit: the share done, its course, and where it ran."""
        return {"done": str(done), "course": json.dumps(self.course), "computed": json.dumps(self.computed)}

    def recall(self, notes: Mapping[str, str]) -> None:
        """Take up what the notes of a checkpoint say; those of a fit that begins say nothing."""
        self.course.update(json.loads(notes.get("course", "{}")))
        self.computed.update(json.loads(notes.get("computed", "{}")))

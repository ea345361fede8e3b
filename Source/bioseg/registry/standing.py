"""How a study stands: which versions are under its aliases. No database is needed to say it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bioseg.registry import Registry

Strategy = Literal["single", "shadow", "canary", "ab"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a study stands after its last move.

    Parameters
    ----------
    study
        Its name.
    sequence
        Number of the last row, 0 before the first; the revision that a caller who wants to move it has to name.
    champion, challenger
        Versions under these aliases.
    strategy, share
        How requests are shared: the challenger serves this share of the clients, 0 to 1.
    rollout
        Id of the rollout that runs, 32 hexadecimal digits.
    frozen
        No rollout starts until an operator unfreezes the study.
    """

    study: str
    sequence: int = 0
    champion: str | None = None
    challenger: str | None = None
    strategy: Strategy = "single"
    share: float = 0.0
    rollout: str | None = None
    frozen: bool = False


Aliases = Callable[[str], Standing]
"""Tells how a study stands, given its name."""


def shipped(registry: Registry) -> Aliases:
    """How studies stand without a database: nothing but the shipped champions."""

    def standing(study: str) -> Standing:
        return Standing(study, champion=registry.champion(study))

    return standing

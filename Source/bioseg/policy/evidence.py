"""What a rollout has seen of its two arms."""

from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bioseg.errors import InvalidInput

Gate = Literal["promote", "inconclusive", "rollback"]

RANGES = {"quality": 1.0, "preferences": 1.0, "failures": 1.0}
SIGNS = ("preferences", "failures")


def _none() -> NDArray[np.float64]:
    return np.empty(0)


def _no_signs() -> NDArray[np.int8]:
    return np.empty(0, np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Observations of a rollout, each array in the order in which they came, and each possibly empty.

    Agreement between the arms is not among them: it is not quality.

    Parameters
    ----------
    quality
        (n,) differences challenger minus champion of the primary metric, in [-1, 1], on audited images whose masks
        were corrected.
    preferences
        (m,) reviewers' blind choices between the two masks of an audited image: +1 the challenger's, -1 the champion's,
        0 no difference.
    latency, cpu, memory
        (k,) natural logarithms of the ratio challenger / champion, of one image each.
    failures
        (k,) +1 only the challenger failed, -1 only the champion did, 0 both or neither.
    clients
        (2,) distinct clients that the champion and the challenger arm were assigned, each counted once, under the
        share of its first request; (steps, 2) when the share has changed. None when nobody is split, as in a shadow.
    share
        Of the challenger, one number or (steps,); goes with `clients`.
    gate
        The offline gate's verdict on these two versions; None when it has not run.
    expected
        Audited pairs that traffic can still bring before the rollout ends; None when nobody knows.

    Raises
    ------
    InvalidInput
        When a number is outside its range or is none.
    """

    quality: NDArray[np.float64] = field(default_factory=_none)
    preferences: NDArray[np.int8] = field(default_factory=_no_signs)
    latency: NDArray[np.float64] = field(default_factory=_none)
    cpu: NDArray[np.float64] = field(default_factory=_none)
    memory: NDArray[np.float64] = field(default_factory=_none)
    failures: NDArray[np.int8] = field(default_factory=_no_signs)
    clients: NDArray[np.int64] | None = None
    share: float | NDArray[np.float64] | None = None
    gate: Gate | None = None
    expected: int | None = None

    def __post_init__(self) -> None:
        for name in (item.name for item in fields(self)[:6]):
            _require_numbers(name, getattr(self, name))
        _require_split(self.clients, self.share)
        if self.gate not in {None, "promote", "inconclusive", "rollback"}:
            raise InvalidInput(f"gate {self.gate!r}: give promote, inconclusive, rollback or None")
        if self.expected is not None and self.expected < 0:
            raise InvalidInput(f"{self.expected} expected pairs: give 0 or more, or None")

    @property
    def live_quality(self) -> bool:
        """Whether anybody has judged masks of this rollout's images."""
        return self.quality.size + self.preferences.size > 0


def _require_numbers(name: str, values: NDArray[np.generic]) -> None:
    if not np.isfinite(values).all():
        raise InvalidInput(f"{name} holds values that are no finite numbers: leave such pairs out and count a failure")
    if name in RANGES and (np.abs(values) > RANGES[name]).any():
        raise InvalidInput(f"{name} holds values outside -1 to 1: give differences challenger minus champion")
    if name in SIGNS and (values != np.sign(values)).any():
        raise InvalidInput(f"{name} holds values other than -1, 0 and 1")


def _require_split(clients: NDArray[np.int64] | None, share: float | NDArray[np.float64] | None) -> None:
    if (clients is None) != (share is None):
        raise InvalidInput("clients and share go together: give both, or neither for a shadow rollout")
    if clients is None or share is None:
        return
    if clients.shape[-1] != 2 or clients.ndim > 2 or (clients < 0).any():
        raise InvalidInput(f"clients {clients.tolist()}: give the counts of champion and challenger, a row a share")
    if ((np.asarray(share) < 0) | (np.asarray(share) > 1)).any():
        raise InvalidInput(f"share {share}: give numbers from 0 to 1")

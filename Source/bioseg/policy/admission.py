"""The screen's decision: whether an image is of a kind that the study's model was made for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bioseg.errors import InvalidInput

ROUNDING = 1e-3
COUNTABLE = {"chest X-ray", "brain MRI", "photo", "texture"}


@dataclass(frozen=True, slots=True)
class Admission:
    """The screen's verdict on one image.

    Parameters
    ----------
    verdict
        `accept`, `reject`, or `ask` the user in between.
    score
        Summed probability of the accepted kinds, in [0, 1].
    kind
        The most probable kind.
    reason
        For people: what the image looks like and how probable that is.
    """

    verdict: Literal["accept", "ask", "reject"]
    score: float
    kind: str
    reason: str


def admit(
    probabilities: NDArray[np.floating],
    classes: Sequence[str],
    accepts: Sequence[str],
    accept_at: float,
    reject_below: float,
) -> Admission:
    """Judge an image by the probabilities of its kinds.

    Parameters
    ----------
    probabilities
        (classes,), calibrated, summing to 1.
    classes
        Kinds in that order.
    accepts
        Kinds that the study accepts; each is one of the classes.
    accept_at, reject_below
        Score from which an image is accepted, and below which it is rejected.

    Raises
    ------
    InvalidInput
        When the lengths differ, an accepted kind is unknown, the thresholds are not 0 <= reject_below <= accept_at <=
        1, or the probabilities do not sum to 1.

    >>> admit(np.array([0.02, 0.97, 0.01]), ("membrane EM", "chest X-ray", "photo"), ("membrane EM",), 0.9, 0.5)
    Admission(verdict='reject', score=0.02, kind='chest X-ray', reason='looks like a chest X-ray, 0.97')
    """
    _check(probabilities, classes, accepts, accept_at, reject_below)
    score = float(min(1.0, sum(probabilities[classes.index(kind)] for kind in accepts)))
    likeliest = int(probabilities.argmax())
    verdict: Literal["accept", "ask", "reject"] = (
        "accept" if score >= accept_at else "reject" if score < reject_below else "ask"
    )
    reason = f"looks like {_with_article(classes[likeliest])}, {probabilities[likeliest]:.2f}"
    return Admission(verdict, score, classes[likeliest], reason)


def _with_article(kind: str) -> str:
    if kind == "other":
        return "none of the known kinds"
    return f"a {kind}" if kind in COUNTABLE else kind


def _check(
    probabilities: NDArray[np.floating],
    classes: Sequence[str],
    accepts: Sequence[str],
    accept_at: float,
    reject_below: float,
) -> None:
    if probabilities.shape != (len(classes),):
        raise InvalidInput(f"{probabilities.size} probabilities for {len(classes)} classes: give one for each")
    if not abs(float(probabilities.sum()) - 1) <= ROUNDING:
        raise InvalidInput(f"the probabilities sum to {probabilities.sum()}: give the softmax of the logits")
    unknown = sorted(set(accepts) - set(classes))
    if unknown:
        raise InvalidInput(f"unknown kinds {', '.join(unknown)}; the screen knows: {', '.join(classes)}")
    if not 0 <= reject_below <= accept_at <= 1:
        raise InvalidInput(f"rejecting below {reject_below}, accepting at {accept_at}: give 0 <= first <= second <= 1")

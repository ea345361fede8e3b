"""What scoring both versions on the same samples gives, whichever the task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bioseg.policy.paired import Comparison, Unit
from bioseg.runtime import Arm


class Both(NamedTuple):
    """Both versions."""

    champion: Arm
    candidate: Arm


@dataclass(frozen=True, slots=True)
class Scores:
    """Both versions unit by unit.

    Parameters
    ----------
    computed
        What a unit and a cluster are, in words.
    units
        Primary metric.
    quality
        Their comparison.
    secondary
        Further figures, compared; those of one study that they screen each have a name of their own.
    calibration
        Expected calibration error: lower is better.
    guarded
        Units none of which may lose much.
    """

    computed: str
    units: tuple[Unit, ...]
    quality: Comparison
    secondary: Mapping[str, Comparison]
    calibration: Comparison
    guarded: tuple[Unit, ...]

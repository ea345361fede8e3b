"""What the gate found: everything that the verdict rests on, as JSON and as text."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bioseg.gate.scores import Scores
from bioseg.policy.offline import Guardrail, Verdict
from bioseg.policy.paired import Comparison
from bioseg.study import Promotion

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two versions.

    `bundle` is the sha256 of its manifest, which holds those of all its files; `threshold` is None for a classifier.
    """

    version: str
    bundle: str
    precision: str
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Split:
    """What both were scored on: `sha256` is `datasets.digest` of the samples, `drawn` the first and last number."""

    sha256: str
    images: int
    drawn: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class GateReport:
    """A candidate against the champion of that moment.

    Parameters
    ----------
    created
        ISO 8601, UTC.
    bioseg
        Version of this program.
    runtime, threads
        What ran the networks.
    """

    study: str
    task: str
    created: str
    bioseg: str
    runtime: str
    threads: int
    champion: Side
    candidate: Side
    split: Split
    rule: Promotion
    scores: Scores
    guardrails: Sequence[Guardrail]
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON takes it; `docs/gate-offline.md` describes it."""
        found = asdict(self)
        verdict, scores = found.pop("verdict"), found.pop("scores")
        scores["units"] = [unit._asdict() for unit in self.scores.units]
        scores["guarded"] = [unit._asdict() for unit in self.scores.guarded]
        return {"format": FORMAT, **verdict, **found, **scores}

    def as_text(self) -> str:
        """Lay the findings out for a terminal, the verdict first."""
        images = f"{self.split.images} held-out images, split {self.split.sha256[:12]}"
        lines = [
            f"{self.verdict.verdict}: {self.verdict.reason}",
            "",
            f"{self.study} {self.candidate.version} against the champion {self.champion.version}: {images}",
            self.scores.computed,
            "",
            *_figures({self.rule.metric: self.scores.quality, **self.scores.secondary}),
            *_clusters(self.scores.quality),
            "",
            *(f"{rail.state:11}  {rail.name}: {rail.reason}" for rail in self.guardrails),
        ]
        return "\n".join(lines)


def _figures(compared: dict[str, Comparison]) -> Iterator[str]:
    width = max(map(len, compared))
    for name, found in compared.items():
        interval = f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}] at {found.confidence:.1%}"
        counts = f"{found.units} units, n = {found.clusters}"
        yield f"{name:{width}}  {found.champion:.4f} -> {found.candidate:.4f}  {interval}, {counts}"


def _clusters(found: Comparison) -> Iterator[str]:
    for name, difference in found.values.items():
        yield f"  {name}: {difference:+.4f}"

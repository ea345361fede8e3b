"""From two versions to a report: scores, guardrails, verdict."""

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bioseg.bundles import Bundle
from bioseg.datasets import Sample, digest, pixels
from bioseg.errors import DatasetError, WrongTask
from bioseg.gate import classification, latency, memory, parity, segmentation
from bioseg.gate.report import GateReport, Side, Split
from bioseg.gate.scores import Both, Scores
from bioseg.policy import guardrails, offline
from bioseg.policy.offline import Findings, Guardrail
from bioseg.runtime import Arm, loader
from bioseg.settings import Settings
from bioseg.study import Study

Progress = Callable[[float, str], None]

FEW = 8
"""Pictures that latency is measured on."""


def examine(
    study: Study, champion: Arm, candidate: Bundle, settings: Settings, data_dir: Path, progress: Progress
) -> GateReport:
    """Compare a candidate with the champion on the part of the study's split that no fit and no choice has seen.

    Parameters
    ----------
    champion
        Loaded and replayed.
    candidate
        Verified; whether it replays is a finding.
    settings
        `runtime` and `threads` are used.
    progress
        Told the share that is done, and what is being done.

    Raises
    ------
    WrongTask
        When a version does another task than the study.
    DatasetError
        When there is nothing to score on, or what there is does not fit.
    BundleError
        When the candidate cannot be loaded, or gives no probabilities.
    InvalidInput
        When the study's primary metric is none that its task has.
    ProcessFailed
        When a version does not survive an image in a process of its own.
    """
    arms = Both(champion, Arm(candidate, loader(settings.runtime)(candidate, settings.inference_threads())))
    _require_task(study, arms)
    samples = study.splits(data_dir).score
    if not samples:
        raise DatasetError(
            f"no samples to compare versions of {study.name} on: this copy of the data lacks the held-out ones; "
            "`bioseg data fetch` brings them"
        )
    drawn = study.drawn.score if study.drawn else range(0)
    scores = _scores(study, arms, samples, drawn, progress)
    rails = [
        *_probed(arms, samples, settings, progress),
        guardrails.calibration(scores.calibration),
        guardrails.worst_drop(scores.guarded),
        *guardrails.secondary(scores.secondary),
    ]
    rule = study.promotion
    quality = scores.quality
    found = Findings(rule.metric, quality.low, quality.high, rails, quality.detectable)
    verdict = offline.decide(found, rule.goal, rule.margin)
    return GateReport(
        study=study.name,
        task=study.task,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        bioseg=importlib.metadata.version("bioseg"),
        runtime=settings.runtime,
        threads=settings.inference_threads(),
        champion=_side(champion.bundle),
        candidate=_side(candidate),
        split=Split(digest(samples), len(samples), (drawn[0], drawn[-1]) if drawn else None),
        rule=rule,
        scores=scores,
        guardrails=rails,
        verdict=verdict,
    )


def _require_task(study: Study, arms: Both) -> None:
    for arm in arms:
        if arm.contract.task != study.task:
            raise WrongTask(f"{study.name} does {study.task}; its {arm.contract.version} does {arm.contract.task}")


def _scores(study: Study, arms: Both, samples: Sequence[Sample], drawn: Sequence[int], progress: Progress) -> Scores:
    progress(0.0, f"scoring both versions on {len(samples)} images")
    if study.task == "segmentation":
        return segmentation.score(study, arms, samples, lambda done: progress(0.5 * done / len(samples), "scored"))
    return classification.score(study, arms, samples, drawn, lambda done: progress(0.5 * done / len(arms), "scored"))


def _probed(arms: Both, samples: Sequence[Sample], settings: Settings, progress: Progress) -> Iterator[Guardrail]:
    """Guard what is measured on a few images: time, memory, and that the network is the one it should be."""
    pictures = [pixels.image(sample) for sample in samples[:: -(-len(samples) // FEW)]]
    progress(0.5, "latency, back to back")
    yield guardrails.cost("latency", latency.ratio(arms, pictures))
    progress(0.7, "memory, each in a process of its own")
    yield guardrails.cost("memory", memory.ratio(arms, samples[0].image, settings))
    progress(0.9, "the same network in its own framework")
    yield parity.replay(arms.candidate)
    yield parity.check(arms.candidate.bundle, pictures[0], settings.inference_threads())
    progress(1.0, "measured")


def _side(bundle: Bundle) -> Side:
    contract = bundle.contract
    threshold = contract.threshold if contract.task == "segmentation" else None
    return Side(contract.version, bundle.digest, contract.precision, threshold)

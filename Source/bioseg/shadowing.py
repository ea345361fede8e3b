"""Pairs: both arms of a rollout on the image of one request, while nobody waits. What they show is its evidence."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bioseg import analysis, helped, images, studies
from bioseg.analysis import Classified, Screening, Segmented
from bioseg.database import engine, moves, pairs
from bioseg.database.tables import Pair, RequestRecord, Task
from bioseg.errors import ArmFailed, BlobNotFound, Busy
from bioseg.inference.confined_runtime import Confined
from bioseg.metrics import confusion_counts
from bioseg.pictures import key_of
from bioseg.platform import Platform
from bioseg.policy.assignment import Arm as ArmName
from bioseg.registry.standing import Standing
from bioseg.runtime import Arm

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.25
"""How long nobody must have been served before both arms may run."""

STALE = timedelta(hours=1)
"""Age of a request from which its pair is dropped: what comes late says little of the present traffic."""

Answer = Segmented | Classified | Screening
_ARMS: tuple[ArmName, ArmName] = ("champion", "challenger")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an arm made of an image, or why nothing, and what it took: milliseconds, CPU seconds, MiB at the peak."""

    answer: Answer | None
    error: str
    milliseconds: float
    cpu_seconds: float
    memory_mb: float | None


class _Trial(NamedTuple):
    """A rollout that a request took part in, and what its arms do with the image."""

    standing: Standing
    work: Callable[[Arm, images.Image], Answer]


def may_run(platform: Platform) -> bool:
    """Tell whether nobody is being served."""
    return platform.queue.is_idle(QUIET_SECONDS)


def make(platform: Platform, task: Task, now: datetime | None = None) -> None:
    """Make the pairs of the request that a task names: one for each rollout that it took part in and that runs still.

    Raises
    ------
    Busy
        When somebody was served meanwhile, which would falsify the times; nothing is kept then.
    StoreUnavailable
        When the picture cannot be had now.
    """
    with engine.reading(platform.sessions) as session:
        record = session.get_one(RequestRecord, task.request_seq)
    stale = (now or datetime.now(UTC)) - record.created_at > STALE
    for trial in _trials(platform, record):
        with engine.reading(platform.sessions) as session:
            if pairs.has(session, str(trial.standing.rollout), record.seq):
                continue
        image = None if stale else _image(platform, record)
        if image is None:
            _keep(platform, pairs.drawn(str(trial.standing.rollout), record.seq, pairs.STALE), {})
        else:
            _make(platform, trial, record, image)


def _trials(platform: Platform, record: RequestRecord) -> Iterator[_Trial]:
    study = studies.get(record.study)
    standing = platform.runtime.aliases(study.name)
    if record.rollout is not None and standing.rollout == record.rollout:
        yield _Trial(standing, analysis.run)
    if record.screen_rollout is None or study.screened_by is None:
        return
    standing = platform.runtime.aliases(study.screened_by)
    if standing.rollout == record.screen_rollout:
        yield _Trial(standing, lambda arm, image: analysis.screen(arm, study, image))


def _image(platform: Platform, record: RequestRecord) -> images.Image | None:
    """The picture of a request; None when it was deleted."""
    if record.image_blob is None:
        return None
    try:
        return images.decode_png(platform.pictures.get(record.image_blob))
    except BlobNotFound as error:
        log.warning("request %s takes no part: %s", record.id, error)
        return None


def _make(platform: Platform, trial: _Trial, record: RequestRecord, image: images.Image) -> None:
    before = platform.queue.last_activity()
    order = pairs.CHANCE.sample(_ARMS, 2)
    found = {name: _outcome(platform, trial, name, image) for name in order}
    if platform.queue.last_activity() != before:
        raise Busy("somebody was served while both arms ran; they run again later")
    pair = pairs.drawn(str(trial.standing.rollout), record.seq, pairs.DONE)
    _keep(platform, pair, _note(pair, found))


def _outcome(platform: Platform, trial: _Trial, name: ArmName, image: images.Image) -> Outcome:
    """Run one arm, in a process of its own as the other one; whatever happens to it is an outcome."""
    standing = trial.standing
    start, spent = time.perf_counter(), _cpu()
    answer, error, memory = None, "", None
    try:
        arm = platform.runtime.trial(standing.study, str(standing.champion))
        if name == "challenger":
            arm = platform.runtime.trial(standing.study, str(standing.challenger), arm)
        start, spent = time.perf_counter(), _cpu()
        answer = trial.work(arm, image)
        memory = arm.predict.peak_memory_mb if isinstance(arm.predict, Confined) else None
    except ArmFailed as failure:
        log.warning("%s of %s failed: %s", name, standing.study, failure)
        error = str(failure)
    return Outcome(answer, error, 1e3 * (time.perf_counter() - start), _cpu() - spent, memory)


def _cpu() -> float:
    """CPU seconds of this thread, and of other processes for it."""
    return time.thread_time() + helped.cpu_seconds()


def _note(pair: Pair, found: dict[ArmName, Outcome]) -> dict[str, bytes]:
    """Write what the arms made into a pair; gives their masks by key."""
    masks: dict[str, bytes] = {}
    for name, outcome in found.items():
        setattr(pair, f"{name}_failed", outcome.answer is None)
        if outcome.answer is None:
            pair.error = outcome.error
            continue
        figures = {"ms": outcome.milliseconds, "cpu_seconds": outcome.cpu_seconds, "memory_mb": outcome.memory_mb}
        for what, figure in figures.items():
            setattr(pair, f"{name}_{what}", figure)
        if isinstance(outcome.answer, Segmented):
            mask = images.encode_mask(outcome.answer.mask)
            masks[key_of(mask)] = mask
            setattr(pair, f"{name}_blob", key_of(mask))
        else:
            setattr(pair, f"{name}_answer", _told(outcome.answer))
    pair.agreement = _agreement(*(found[name].answer for name in _ARMS))
    return masks


def _told(answer: Classified | Screening) -> str:
    return answer.label if isinstance(answer, Classified) else answer.kind


def _agreement(champion: Answer | None, challenger: Answer | None) -> float | None:
    """Dice of two masks; 1 or 0 for the same class, or the same verdict of a screen, or not."""
    match champion, challenger:
        case Segmented(), Segmented():
            return confusion_counts(champion.mask, challenger.mask).dice
        case Screening(), Screening():
            return float(champion.verdict == challenger.verdict)
        case Classified(), Classified():
            return float(champion.label == challenger.label)
        case _:
            return None


def _keep(platform: Platform, pair: Pair, masks: dict[str, bytes]) -> None:
    with platform.sessions.begin() as session:
        moves.into_store(session, masks, pair.created_at)
        session.add(pair)

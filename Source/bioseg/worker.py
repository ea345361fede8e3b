"""What follows a response: a loop that claims tasks by lease and hands them to the handler of their kind.

Any number of workers may run. One that dies loses nothing: when its lease has run out, another takes its tasks.
"""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from bioseg import housekeeping, mirroring, reporting, shadowing, studies
from bioseg.database import tasks
from bioseg.database.tables import Task
from bioseg.errors import BiosegError, StoreUnavailable
from bioseg.judging import Judge
from bioseg.platform import Platform
from bioseg.storage import Mirror, open_mirror
from bioseg.telemetry import tracking_server

log = logging.getLogger(__name__)

_UPLOAD_LEASE = timedelta(minutes=10)
_NICENESS = 10
_TIDY_SECONDS = 30.0
_REPORT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Handler:
    """Does the tasks of one kind, `batch` of them at a time; when it raises, they are tried again later.

    It must bear to get a task twice: the worker may die before it marks the task as done, or take longer than `lease`.
    While `may` says no, no task is claimed.
    """

    kind: str
    do: Callable[[Sequence[Task]], None]
    batch: int
    lease: timedelta = timedelta(minutes=2)
    may: Callable[[], bool] = lambda: True


def run(platform: Platform, *, once: bool, stop: threading.Event) -> None:
    """Do tasks at low priority until `stop` is set, or with `once` until none is due; a begun batch is completed.

    Each kind has a thread of its own: none waits for what another one waits for. `stop` is set in the end.

    Raises
    ------
    SettingsError
        When the mirror cannot be opened.
    sqlalchemy.exc.DBAPIError
        With `once`, when the database does not answer; without, it is asked again.
    """
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    handlers = _handlers(platform)
    if once:
        housekeeping.tidy(platform)
        while not stop.is_set() and platform.pictures.settle_waiting():
            pass
        _side_by_side([partial(drain, platform.sessions, [handler], name, stop) for handler in handlers], stop)
        _attempt("judging", Judge(platform).look)
        _attempt("reporting", partial(_report, platform))
        return
    look = partial(attend, platform.sessions, handlers, name, stop, platform.settings.sync_seconds)
    store = partial(_again_and_again, "storing", platform.pictures.settle_waiting, platform.settings.sync_seconds, stop)
    judge = partial(_again_and_again, "judging", Judge(platform).look, platform.settings.sync_seconds, stop)
    report = partial(_again_and_again, "reporting", partial(_report, platform), _REPORT_SECONDS, stop)
    tidy = partial(_again_and_again, "housekeeping", partial(housekeeping.tidy, platform), _TIDY_SECONDS, stop)
    _side_by_side([look, store, judge, report, tidy], stop)


def _again_and_again(what: str, do: Callable[[], object], seconds: float, stop: threading.Event) -> None:
    """Do something every so many seconds, and at once again while there was something to do."""
    while not stop.is_set():
        done = _attempt(what, do)
        if not done:
            stop.wait(seconds)


def _attempt(what: str, do: Callable[[], object]) -> object:
    """Do something and give what comes of it; what is away is told in the log, and None given."""
    try:
        return do()
    except (BiosegError, DBAPIError, OSError) as error:
        log.warning("%s waits: %s", what, error.orig if isinstance(error, DBAPIError) else error)
        return None


def _handlers(platform: Platform) -> list[Handler]:
    handlers = [telemetry(platform.sessions, platform.settings.tracking_uri), shadow(platform)]
    mirror = open_mirror(platform.settings)
    if mirror is not None:
        handlers.append(mirrored(platform.sessions, platform.pictures, mirror))
    return handlers


def attend(
    sessions: sessionmaker[Session], handlers: Sequence[Handler], worker: str, stop: threading.Event, seconds: float
) -> None:
    """Look for tasks every so many seconds, of each kind in a thread of its own, until `stop` is set.

    A kind whose other side asked to be left alone is looked for as late as that.
    """

    def attend_one(handler: Handler) -> None:
        while not stop.is_set():
            pause = seconds
            try:
                pause = max(seconds, drain(sessions, [handler], worker, stop))
            except DBAPIError as error:
                log.warning("the database does not answer: %s", error.orig)
            stop.wait(pause)

    _side_by_side([partial(attend_one, handler) for handler in handlers], stop)


def _side_by_side(jobs: Sequence[Callable[[], object]], stop: threading.Event) -> None:
    """Do each job in a thread of its own; when one fails, stop all and raise what it raised."""
    with ThreadPoolExecutor(len(jobs), "tasks") as pool:
        begun = [pool.submit(job) for job in jobs]
        wait(begun, return_when=FIRST_EXCEPTION)
        stop.set()
    for each in begun:
        each.result()


def drain(sessions: sessionmaker[Session], handlers: Sequence[Handler], worker: str, stop: threading.Event) -> float:
    """Do all tasks that are due; a kind that fails waits for the next call.

    Returns
    -------
    Seconds for which the other side of a handler asked to be left alone, 0 when none did.
    """
    pause = 0.0
    for handler in handlers:
        try:
            while not stop.is_set() and _do_batch(sessions, handler, worker):
                pass
        except StoreUnavailable as error:
            pause = max(pause, error.retry_after or 0.0)
    return pause


def _do_batch(sessions: sessionmaker[Session], handler: Handler, worker: str) -> bool:
    """Do one batch; tells whether it went well and there may be more. A store's plea for a pause is raised again."""
    if not handler.may():
        return False
    with sessions.begin() as session:
        claimed = tasks.claim(session, [handler.kind], handler.batch, handler.lease, worker, datetime.now(UTC))
    if not claimed:
        return False
    try:
        handler.do(claimed)
    except StoreUnavailable as error:
        log.warning("%s: %d tasks wait: %s", handler.kind, len(claimed), error)
        _put_back(sessions, claimed, str(error), error.retry_after)
        raise
    except BiosegError as error:
        log.warning("%s: %d tasks wait: %s", handler.kind, len(claimed), error)
        _put_back(sessions, claimed, str(error))
        return False
    except Exception as error:  # whatever it is, the other kinds and the next look must not suffer
        log.exception("%s: %d tasks wait", handler.kind, len(claimed))
        _put_back(sessions, claimed, f"{type(error).__name__}: {error}")
        return False
    with sessions.begin() as session:
        tasks.finish(session, claimed, datetime.now(UTC))
    log.info("%s: %d tasks done", handler.kind, len(claimed))
    return len(claimed) == handler.batch


def _put_back(
    sessions: sessionmaker[Session], claimed: Sequence[Task], reason: str, retry_after: float | None = None
) -> None:
    with sessions.begin() as session:
        tasks.fail(session, claimed, reason, datetime.now(UTC), retry_after)


def telemetry(sessions: sessionmaker[Session], tracking_uri: str) -> Handler:
    """Make the handler that ships request records to MLflow."""
    tracking_server.limit_patience()
    from bioseg.telemetry import mlflow_shipper

    client = mlflow_shipper.connect(tracking_uri)
    screens = {study.name: study.screened_by for study in studies.all_studies().values() if study.screened_by}

    def do(batch: Sequence[Task]) -> None:
        seqs = [task.request_seq for task in batch if task.request_seq is not None]
        mlflow_shipper.ship(sessions, client, seqs, screens)

    return Handler("telemetry", do, mlflow_shipper.BATCH)


def _report(platform: Platform) -> None:
    """Show in MLflow how rollouts do, and who has which alias."""
    from bioseg.registry import mlflow_aliases
    from bioseg.registry.mlflow_models import MlflowModels
    from bioseg.telemetry import mlflow_rollouts, mlflow_shipper

    uri = platform.settings.tracking_uri
    reporting.report(platform, partial(mlflow_rollouts.tell, platform.sessions, mlflow_shipper.connect(uri)))
    reporting.follow(platform, partial(mlflow_aliases.reconcile, MlflowModels(uri), platform.registry))


def shadow(platform: Platform) -> Handler:
    """Make the handler that runs both arms of a rollout, one request after the other, while nobody is served."""

    def do(batch: Sequence[Task]) -> None:
        for task in batch:
            shadowing.make(platform, task)

    return Handler("shadow", do, batch=1, may=partial(shadowing.may_run, platform))


def mirrored(sessions: sessionmaker[Session], pictures: mirroring.Source, mirror: Mirror) -> Handler:
    """Make the handler that keeps copies of requests in a mirror; one request at a time, so that each fails alone."""

    def do(batch: Sequence[Task]) -> None:
        for task in batch:
            if task.request_seq is not None:
                mirroring.agree(sessions, pictures, mirror, task.request_seq)

    return Handler("mirror", do, batch=1, lease=_UPLOAD_LEASE)

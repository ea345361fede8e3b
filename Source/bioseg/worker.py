"""What follows a response: a loop that claims tasks by lease and hands them to the handler of their kind.

Any number of workers may run. One that dies loses nothing: when its lease has run out, another takes its tasks.
"""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from bioseg import studies
from bioseg.database import tasks
from bioseg.database.tables import Task
from bioseg.errors import BiosegError
from bioseg.platform import Platform
from bioseg.telemetry import tracking_server

log = logging.getLogger(__name__)

_LEASE = timedelta(minutes=2)
_NICENESS = 10


@dataclass(frozen=True, slots=True)
class Handler:
    """Does the tasks of one kind, `batch` of them at a time; when it raises, they are tried again later.

    It must bear to get a task twice: the worker may die before it marks the task as done.
    """

    do: Callable[[Sequence[Task]], None]
    batch: int


def run(platform: Platform, *, once: bool, stop: threading.Event) -> None:
    """Do tasks at low priority until `stop` is set, or with `once` until none is due; a begun batch is completed.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        With `once`, when the database does not answer; without, it is asked again.
    """
    os.nice(_NICENESS)
    sessions = platform.sessions
    handlers = {"telemetry": telemetry(sessions, platform.settings.tracking_uri)}
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    if once:
        drain(sessions, handlers, name, stop)
        return
    while not stop.is_set():
        try:
            drain(sessions, handlers, name, stop)
        except DBAPIError as error:
            log.warning("the database does not answer: %s", error.orig)
        stop.wait(platform.settings.sync_seconds)


def drain(sessions: sessionmaker[Session], handlers: Mapping[str, Handler], worker: str, stop: threading.Event) -> None:
    """Do all tasks that are due; a kind that fails waits for the next call."""
    for kind, handler in handlers.items():
        while not stop.is_set() and _do_batch(sessions, kind, handler, worker):
            pass


def _do_batch(sessions: sessionmaker[Session], kind: str, handler: Handler, worker: str) -> bool:
    """Do one batch; tells whether it went well and there may be more."""
    with sessions.begin() as session:
        claimed = tasks.claim(session, [kind], handler.batch, _LEASE, worker, datetime.now(UTC))
    if not claimed:
        return False
    try:
        handler.do(claimed)
    except BiosegError as error:
        log.warning("%s: %d tasks wait: %s", kind, len(claimed), error)
        _put_back(sessions, claimed, str(error))
        return False
    except Exception as error:  # whatever it is, the other kinds and the next look must not suffer
        log.exception("%s: %d tasks wait", kind, len(claimed))
        _put_back(sessions, claimed, f"{type(error).__name__}: {error}")
        return False
    with sessions.begin() as session:
        tasks.finish(session, claimed, datetime.now(UTC))
    log.info("%s: %d tasks done", kind, len(claimed))
    return len(claimed) == handler.batch


def _put_back(sessions: sessionmaker[Session], claimed: Sequence[Task], reason: str) -> None:
    with sessions.begin() as session:
        tasks.fail(session, claimed, reason, datetime.now(UTC))


def telemetry(sessions: sessionmaker[Session], tracking_uri: str) -> Handler:
    """Make the handler that ships request records to MLflow."""
    tracking_server.limit_patience()
    from bioseg.telemetry import mlflow_shipper

    client = mlflow_shipper.connect(tracking_uri)
    screens = {study.name: study.screened_by for study in studies.all_studies().values() if study.screened_by}

    def do(batch: Sequence[Task]) -> None:
        seqs = [task.request_seq for task in batch if task.request_seq is not None]
        mlflow_shipper.ship(sessions, client, seqs, screens)

    return Handler(do, mlflow_shipper.BATCH)

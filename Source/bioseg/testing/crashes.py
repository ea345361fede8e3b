"""Processes that end in the middle of a request: forked from one that has imported everything and started no thread."""

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy.orm import configure_mappers

from bioseg.database import engine
from bioseg.decoding import formats
from bioseg.platform import Platform, open_platform
from bioseg.settings import Settings
from bioseg.testing import stand_ins
from bioseg.testing.fault_injection import Steps, breaking, exit_at_once

FAILED = 1
"""Exit code of a process whose call raised something."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Call `do(platform, *arguments)` on a platform with these settings, in a process that ends at a step.

    `watch` says what counts as a step.
    """

    settings: Settings
    step: int
    do: Callable[..., object]
    arguments: tuple[Any, ...]
    watch: Callable[[Platform, Steps], AbstractContextManager[Platform]] = breaking


@contextmanager
def crashing(*preloaded: str) -> Iterator[Callable[[Crash], int]]:
    """Give a function that lets a process crash, with these modules loaded; it returns the process's exit code.

    That is `fault_injection.EXITED` when the step was reached, 0 when the call ended before, FAILED when it raised.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    parent = context.Process(target=_fork_on_demand, args=(theirs, preloaded))
    parent.start()
    theirs.close()

    def crash(wanted: Crash) -> int:
        ours.send(wanted)
        return int(ours.recv())

    try:
        yield crash
    finally:
        ours.close()
        parent.join()


def _fork_on_demand(connection: "Connection[int, Crash]", preloaded: Sequence[str]) -> None:
    for module in preloaded:
        importlib.import_module(module)
    # What the first migration imports and the first query sets up need not be done by every process.
    engine.migrate("sqlite://")
    configure_mappers()
    while True:
        try:
            wanted = connection.recv()
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            _crash(wanted)
        connection.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _crash(wanted: Crash) -> None:
    status = FAILED
    try:
        opened = replace(open_platform(wanted.settings, stand_ins.load, stand_ins.confine), decode=formats.decode)
        with wanted.watch(opened, Steps(range(wanted.step, wanted.step + 1), exit_at_once)) as platform:
            wanted.do(platform, *wanted.arguments)
        status = 0
    finally:
        os._exit(status)

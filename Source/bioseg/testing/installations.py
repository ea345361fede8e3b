"""An installation in processes of its own, as an operator deals with it: two web processes, a worker, commands."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil
import requests

from bioseg import processes
from bioseg.settings import child_environment
from bioseg.testing import running

WEB_PROCESSES = 2
TOKEN = "token-of-the-operators"  # noqa: S105 - of an installation that lasts for a test
PATIENCE_SECONDS = 240.0
POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Installation:
    """A running installation.

    Parameters
    ----------
    address
        Of its web server.
    processes
        Those that answer.
    environment
        What all of it was started with.
    log
        What all of it says.
    """

    address: str
    processes: Sequence[psutil.Process]
    environment: Mapping[str, str]
    log: Path

    @property
    def port(self) -> int:
        """Of its web server."""
        return int(self.address.rpartition(":")[2])

    def bioseg(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command beside it."""
        return command(self.environment, *arguments)

    def call(self, method: str, path: str, **given: Any) -> requests.Response:
        """Call the API as an operator."""
        token = {"Authorization": f"Bearer {TOKEN}"}
        return requests.request(method, f"{self.address}{path}", headers=token, timeout=TIMEOUT_SECONDS, **given)

    def move(self, study: str, action: str, **fields: Any) -> dict[str, Any]:
        """Move a study's aliases through the API; gives how it stands then."""
        answer = self.call("POST", f"/api/v1/rollouts/{study}", json={"action": action, **fields})
        if not answer.ok:
            raise RuntimeError(answer.text)
        moved: dict[str, Any] = answer.json()
        return moved

    def decisions(self, study: str) -> list[dict[str, Any]]:
        """The ledger of a study."""
        rows: list[dict[str, Any]] = self.call("GET", f"/api/v1/decisions?study={study}").json()["decisions"]
        return rows

    def rollout(self, study: str) -> dict[str, Any]:
        """How a study stands, and what is known of its rollout."""
        rollouts = self.call("GET", "/api/v1/rollouts").json()["rollouts"]
        return next(rollout for rollout in rollouts if rollout["study"] == study)

    def review(self, study: str, truth: Callable[[bytes], bytes], most: int | None = None) -> int:
        """Correct the masks of pairs as they come, until so many are judged or the rollout is over; gives how many.

        Parameters
        ----------
        truth
            Makes of the image of a pair, a PNG, the mask that it should have, another one.
        """
        judged, patience = 0, time.monotonic() + PATIENCE_SECONDS
        while judged != most and time.monotonic() < patience:
            answer = self.call("GET", f"/api/v1/rollouts/{study}/review")
            if answer.status_code == HTTPStatus.CONFLICT:
                return judged
            if answer.status_code == HTTPStatus.NO_CONTENT:
                time.sleep(POLL_SECONDS)
                continue
            pair = answer.json()
            mask = truth(self.call("GET", pair["image_url"]).content)
            self.call("POST", f"/api/v1/pairs/{pair['id']}/judgement", files={"mask": mask}).raise_for_status()
            judged += 1
        if judged != most:
            raise TimeoutError(self.log.read_text()[-5000:])
        return judged

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait for something to come true; raises TimeoutError with the end of the log."""
        patience = time.monotonic() + PATIENCE_SECONDS
        while not until():
            if time.monotonic() > patience:
                raise TimeoutError(self.log.read_text()[-5000:])
            time.sleep(POLL_SECONDS)


def command(environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of `bioseg` to its end; gives its exit code and what it wrote."""
    return subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "bioseg.cli", *arguments],
        env=child_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def serving(environment: Mapping[str, str], of_worker: Mapping[str, str], log: Path) -> Iterator[Installation]:
    """Run two web processes and a worker, which has settings of its own besides."""
    given = {**environment, "BIOSEG_OPERATOR_TOKEN": TOKEN}
    with (
        running.web(WEB_PROCESSES, given, log) as address,
        running.run(processes.worker(), {**given, **of_worker}, log),
    ):
        yield Installation(address, _web_processes(address), given, log)


def _web_processes(address: str) -> list[psutil.Process]:
    """The children of gunicorn at an address."""
    bound = address.removeprefix("http://")
    (gunicorn,) = (child for child in psutil.Process().children() if bound in child.cmdline())
    return list(gunicorn.children())

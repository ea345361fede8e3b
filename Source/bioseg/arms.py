"""Which arm of a study serves whom, while all processes follow the ledger; and who steps in when a challenger fails."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from bioseg import studies
from bioseg.errors import ArmFailed, BiosegError, UnknownVersion
from bioseg.policy import assignment
from bioseg.registry.standing import Standing
from bioseg.runtime import Arm, Runtime

log = logging.getLogger(__name__)

T = TypeVar("T")

REST_SECONDS = 60.0
"""How long a challenger that failed serves nobody of this process."""


@dataclass(frozen=True, slots=True)
class Served:
    """Which arm served a request, in which rollout, if any, and why the challenger did not that should have."""

    name: assignment.Arm
    arm: Arm
    rollout: str | None
    failure: str | None = None


class Arms:
    """The arms of all studies.

    Without `follow` the ledger is asked at every request; with it, it is looked at now and then, and a version that it
    names takes requests once it is loaded and has reproduced its sample.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._followed: dict[str, Standing] = {}
        self._resting: dict[str, float] = {}

    def standing(self, study: str) -> Standing:
        """How a study stands, as far as this process has followed."""
        return self._followed.get(study) or self._runtime.aliases(study)

    def champion(self, study: str) -> Arm:
        """Arm that serves whoever has no other; raises as `Runtime.champion` does."""
        return self._champion(self.standing(study))

    def serve(self, study: str, client: str, work: Callable[[Arm], T]) -> tuple[Served, T]:
        """Let a client's arm do some work; when a challenger fails, the champion does it, now and for a while.

        Returns
        -------
        The arm that did it in the end, and what came of it.

        Raises
        ------
        UnknownVersion, BundleError, RuntimeUnavailable
            When the champion cannot be used; what `work` raises on the champion.
        """
        standing, failure = self.standing(study), None
        if self._is_on_trial(standing, client):
            try:
                arm = self._challenger(standing)
                return Served("challenger", arm, standing.rollout), work(arm)
            except ArmFailed as error:
                log.warning("the champion of %s steps in: %s", study, error)
                self._resting[str(standing.rollout)] = time.monotonic() + REST_SECONDS
                failure = str(error)
        champion = self._champion(standing)
        return Served("champion", champion, standing.rollout, failure), work(champion)

    def follow(self, stop: Event, seconds: float) -> None:
        """Follow the ledger until `stop` is set; while something cannot be loaded, the former arm serves.

        A move is followed within so many seconds: it is seen in half of them, the other half is to load a version.
        """
        while not stop.is_set():
            for study in studies.all_studies():
                try:
                    self._catch_up(study)
                except (BiosegError, DBAPIError) as error:
                    log.warning("%s stays as it is: %s", study, error)
            stop.wait(seconds / 2)

    def _catch_up(self, study: str) -> None:
        now = self._runtime.aliases(study)
        if now == self._followed.get(study):
            return
        if now.champion is not None:
            self._champion(now)
        if now.share > 0:
            self._prepare(now)
        self._followed[study] = now
        self._runtime.keep(study, now.champion, now.challenger)
        log.info("%s serves %s, %s", study, now.champion, f"and {now.challenger}" if now.share else "to everybody")

    def _prepare(self, standing: Standing) -> None:
        """Load a challenger before it takes requests; one that cannot be is left to the verdict on its rollout."""
        try:
            self._challenger(standing)
        except ArmFailed as error:
            log.warning("the challenger of %s serves nobody: %s", standing.study, error)
            self._resting[str(standing.rollout)] = time.monotonic() + REST_SECONDS

    def _is_on_trial(self, standing: Standing, client: str) -> bool:
        if standing.rollout is None or standing.challenger is None or not standing.share:
            return False
        if assignment.arm(client, standing.rollout, standing.share) != "challenger":
            return False
        return time.monotonic() >= self._resting.get(standing.rollout, 0.0)

    def _champion(self, standing: Standing) -> Arm:
        if standing.champion is None:
            raise UnknownVersion(f"{standing.study} has no champion; train a version and promote it")
        return self._runtime.loaded(standing.study, standing.champion)

    def _challenger(self, standing: Standing) -> Arm:
        return self._runtime.trial(standing.study, str(standing.challenger), self._champion(standing))

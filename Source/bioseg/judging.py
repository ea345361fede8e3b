"""What follows from the evidence of running rollouts: by advice, or by the platform's own hand."""

import logging

from bioseg import evidence, rollouts, studies
from bioseg.database import engine, pairs
from bioseg.database.pairs import Seen
from bioseg.errors import Frozen, NoRollout, NotProven, StaleRevision
from bioseg.platform import Platform
from bioseg.policy.verdict import Verdict
from bioseg.registry.standing import Standing

log = logging.getLogger(__name__)

ACTOR = "worker"
PAIRS_OF_A_STEP = 50
"""Pairs that a canary has to pass without harm before it serves more clients: what the rule's first look takes."""


class Judge:
    """Looks at the running rollouts, and acts on their verdicts when the setting `automatic` says `act`.

    Any number of processes may do so: of two that want to move a study, the ledger takes one.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._seen: dict[str, Seen] = {}

    def look(self) -> None:
        """Judge every rollout of which something new is known; forget networks that no rollout runs any more."""
        for study in studies.all_studies():
            standing = self._platform.runtime.aliases(study)
            running = (standing.champion, standing.challenger) if standing.rollout else ()
            self._platform.runtime.keep(study, *running)
            if standing.rollout is not None:
                self._judge(standing)

    def _judge(self, standing: Standing) -> None:
        with engine.reading(self._platform.sessions) as session:
            seen = pairs.seen(session, str(standing.rollout))
            if seen == self._seen.get(str(standing.rollout)):
                return
            found = evidence.judge(session, standing, self._platform.expected_pairs)
        self._seen[str(standing.rollout)] = seen
        log.info("%s %s: %s, %s", standing.study, standing.challenger, found.verdict, found.reason)
        if self._platform.settings.automatic == "act":
            try:
                self._act(standing, found)
            except (StaleRevision, NoRollout) as error:
                log.info("somebody else has moved %s: %s", standing.study, error)
            except (NotProven, Frozen) as error:
                log.warning("%s stays as it is: %s", standing.study, error)

    def _act(self, standing: Standing, found: Verdict) -> None:
        why = rollouts.Why(actor=ACTOR, automatic=True, reason=found.reason, revision=standing.sequence)
        if found.verdict == "continue":
            if self._may_grow(standing):
                rollouts.step(self._platform, standing.study, **why)
        elif found.verdict == "rollback":
            rollouts.rollback(self._platform, standing.study, **why)
        elif found.verdict == "promote":
            rollouts.promote(self._platform, standing.study, **why)

    def _may_grow(self, standing: Standing) -> bool:
        """Whether a canary has passed enough pairs since its last step, and has a step left."""
        if standing.strategy != "canary" or standing.share >= rollouts.STEPS[-1]:
            return False
        with engine.reading(self._platform.sessions) as session:
            return pairs.made_since_move(session, standing.study, standing.sequence) >= PAIRS_OF_A_STEP

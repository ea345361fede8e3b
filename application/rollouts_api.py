"""The calls of operators on rollouts and the ledger."""

from apiflask import APIBlueprint

from application import access, context
from application.openapi import OPERATORS, problems
from application.schemas_rollouts import Decision, Decisions, DecisionsQuery, Move, Rollout, Rollouts
from bioseg import evidence, rollouts, studies
from bioseg.database import engine
from bioseg.errors import InvalidInput
from bioseg.registry import ledger
from bioseg.rollouts import Why

ACTOR = "operator"

rollouts_api = APIBlueprint("rollouts_api", __name__, url_prefix="/api/v1", tag=OPERATORS)
rollouts_api.before_request(access.require_operator)


@rollouts_api.get("/rollouts")
@rollouts_api.output(Rollouts)
def standings() -> Rollouts:
    """Tell how every study stands: its champion, the rollout of a challenger, and what the evidence says of it."""
    platform = context.platform()
    with engine.reading(platform.sessions) as session:
        known = [
            evidence.described(session, platform.runtime.aliases(study), platform.expected_pairs)
            for study in studies.all_studies()
        ]
    return Rollouts.model_validate({"rollouts": known})


@rollouts_api.get("/decisions")
@rollouts_api.input(DecisionsQuery, location="query", arg_name="query")
@rollouts_api.output(Decisions)
@rollouts_api.doc(responses=problems(400, 404, 500))
def decisions(query: DecisionsQuery) -> Decisions:
    """List the ledger, each row checked against its hash and the row before; 500 names the first that was altered."""
    named = [query.study] if query.study else list(studies.all_studies())
    rows = [row for study in named for row in rollouts.history(context.platform(), study)]
    return Decisions(decisions=[Decision.of(row) for row in rows])


@rollouts_api.post("/rollouts/<study>")
@rollouts_api.input(Move, arg_name="move")
@rollouts_api.output(Rollout)
@rollouts_api.doc(responses=problems(400, 404, 409, 413))
def move(study: str, move: Move) -> Rollout:
    """Move the aliases of a study; the ledger keeps the move.

    A challenger is tested before: its files are checked, and its network has to reproduce its sample.
    """
    platform = context.platform()
    why: Why = {"actor": ACTOR, "reason": move.reason, "revision": move.revision}
    _require_fields(move)
    match move.action:
        case "start":
            row = rollouts.start(platform, study, str(move.strategy), move.challenger, move.share, **why)
        case "promote":
            row = rollouts.promote(platform, study, move.challenger, **why)
        case "step":
            row = rollouts.step(platform, study, **why)
        case "stop":
            row = rollouts.stop(platform, study, **why)
        case "rollback":
            row = rollouts.rollback(platform, study, **why)
        case "unfreeze":
            row = rollouts.unfreeze(platform, study, **why)
    return Rollout.of(ledger.of(row))


FIELDS = {"start": {"strategy", "share", "challenger"}, "promote": {"challenger"}}
"""Fields that an action takes beside those that all take."""


def _require_fields(move: Move) -> None:
    """See that a move says what its action needs, and nothing that would go unheard; raises InvalidInput."""
    if move.action == "start" and move.strategy is None:
        raise InvalidInput("strategy: start needs one of shadow, canary, ab")
    given = {name for name in ("strategy", "share", "challenger") if getattr(move, name) is not None}
    for name in sorted(given - FIELDS.get(move.action, set())):
        raise InvalidInput(f"{name}: {move.action} takes none")

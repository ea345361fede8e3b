"""What the calls of operators on rollouts and the ledger answer."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from application import create_app
from bioseg.database import gate_reports
from bioseg.database.tables import Decision
from bioseg.platform import Platform
from bioseg.testing import stand_ins

TOKEN = "the-operators-token"
AS_OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
CHAMPION = stand_ins.MEMBRANE.version
Move = Callable[..., TestResponse]


@pytest.fixture
def platform(make_platform: Callable[..., Platform], tmp_path: Path) -> Platform:
    """With an operator; `membrane` has a version `2`, which has passed the gate."""
    platform = make_platform(operator_token=TOKEN)
    contract = stand_ins.MEMBRANE.model_copy(update={"version": "2"})
    bundle = platform.registry.add(stand_ins.seal(tmp_path / "new", contract).path)
    with platform.sessions.begin() as session:
        gate_reports.add(session, "membrane", CHAMPION, "2", "promote", {"candidate": {"bundle": bundle.digest}})
    return platform


@pytest.fixture
def client(platform: Platform) -> FlaskClient:
    return create_app(platform).test_client()


@pytest.fixture
def move(client: FlaskClient) -> Move:
    """Post a move as the operator; further fields by name."""

    def post(action: str, study: str = "membrane", **fields: object) -> TestResponse:
        return client.post(f"/api/v1/rollouts/{study}", json={"action": action, **fields}, headers=AS_OPERATOR)

    return post


def decisions(client: FlaskClient, query: str = "") -> TestResponse:
    return client.get(f"/api/v1/decisions{query}", headers=AS_OPERATOR)


def assert_problem(answer: TestResponse, status: int, kind: str, detail: str) -> None:
    assert [answer.status_code, answer.json["type"]] == [status, f"urn:bioseg:problem:{kind}"]
    assert detail in answer.json["detail"]


def test_every_study_stands_with_its_champion_at_first(client: FlaskClient) -> None:
    answer = client.get("/api/v1/rollouts", headers=AS_OPERATOR).json["rollouts"]
    expected = [("kinds", 0, stand_ins.SCREEN.version), ("membrane", 0, CHAMPION)]
    found = {(each["study"], each["revision"], each["champion"]) for each in answer}
    assert set() == set(expected) - found


def test_a_start_answers_how_the_study_stands_now(client: FlaskClient, move: Move) -> None:
    answer = move("start", strategy="canary", share=0.2, challenger="2", revision=0).json
    assert 32 == len(answer.pop("rollout"))
    expected = {
        "study": "membrane",
        "revision": 1,
        "champion": CHAMPION,
        "challenger": "2",
        "strategy": "canary",
        "share": 0.2,
        "frozen": False,
    }
    assert expected == answer
    listed = client.get("/api/v1/rollouts", headers=AS_OPERATOR).json["rollouts"]
    (membrane,) = (each for each in listed if each["study"] == "membrane")
    assert expected == {name: membrane[name] for name in expected}


def test_the_verdict_on_a_rollout_is_listed(client: FlaskClient, move: Move) -> None:
    move("start", strategy="shadow", challenger="2")
    listed = client.get("/api/v1/rollouts", headers=AS_OPERATOR).json["rollouts"]
    kinds, membrane = (each for each in listed if each["study"] in {"kinds", "membrane"})
    assert (None, None) == (kinds["verdict"], kinds["course"])
    assert ("continue", False, {}) == (
        membrane["verdict"]["verdict"],
        membrane["verdict"]["live_quality"],
        membrane["course"],
    )


def test_a_challenger_is_started_promoted_and_rolled_back(move: Move) -> None:
    moves = [("start", {"strategy": "canary"}), ("step", {}), ("promote", {}), ("rollback", {})]
    found = [move(action, **fields).json for action, fields in moves]
    expected = [(CHAMPION, 0.1), (CHAMPION, 0.5), ("2", 0.0), (CHAMPION, 0.0)]
    assert expected == [(each["champion"], each["share"]) for each in found]


def test_a_version_is_promoted_without_a_rollout(move: Move) -> None:
    assert "2" == move("promote", challenger="2").json["champion"]


def test_a_rollout_is_stopped(move: Move) -> None:
    move("start", strategy="shadow")
    assert "single" == move("stop").json["strategy"]


def test_a_decision_tells_who_made_it_and_why(client: FlaskClient, move: Move) -> None:
    move("start", strategy="shadow", reason="smaller")
    (found,) = decisions(client).json["decisions"]
    names = ("id", "action", "actor", "reason", "automatic", "evidence", "previous")
    expected = ["membrane/1", "start", "operator", "smaller", False, {}, "0" * 64]
    assert expected == [found[name] for name in names]


@pytest.mark.parametrize(("query", "found"), [("", 2), ("?study=membrane", 2), ("?study=kinds", 0)])
def test_decisions_are_listed_by_study(client: FlaskClient, move: Move, query: str, found: int) -> None:
    move("start", strategy="shadow")
    move("stop")
    assert found == len(decisions(client, query).json["decisions"])


def test_an_altered_ledger_is_told_and_the_row_named(client: FlaskClient, move: Move, platform: Platform) -> None:
    move("start", strategy="shadow")
    with platform.sessions.begin() as session:
        session.execute(update(Decision).values(champion="2"))
    assert_problem(decisions(client), 500, "ledger-broken", "membrane/1 was altered")


@pytest.mark.parametrize(
    ("fields", "status", "kind", "detail"),
    [
        ({"study": "nerves"}, 404, "unknown-study", "nerves"),
        ({"challenger": "9"}, 404, "version-not-found", "there are: 1.2.3, 2"),
        ({"challenger": CHAMPION}, 400, "invalid-input", "is the champion"),
        ({"challenger": ""}, 400, "invalid-input", "challenger"),
        ({"challenger": 7}, 400, "invalid-input", "challenger"),
        ({"strategy": None}, 400, "invalid-input", "strategy"),
        ({"strategy": "single"}, 400, "invalid-input", "strategy"),
        ({"strategy": "blue-green"}, 400, "invalid-input", "strategy"),
        ({"strategy": "ab", "share": 1.5}, 400, "invalid-input", "share"),
        ({"strategy": "ab", "share": -0.1}, 400, "invalid-input", "share"),
        ({"share": 0.5}, 400, "invalid-input", "a shadow serves nobody"),
        ({"revision": 7}, 409, "stale-revision", "has moved on from revision 7"),
        ({"revision": -1}, 400, "invalid-input", "revision"),
        ({"reason": "\0"}, 400, "invalid-input", "reason"),
        ({"version": "2"}, 400, "invalid-input", "version"),
        ({"action": "demote"}, 400, "invalid-input", "action"),
        ({"action": "stop"}, 400, "invalid-input", "strategy: stop takes none"),
    ],
)
def test_a_move_that_makes_no_sense_is_refused_and_leaves_no_row(
    client: FlaskClient, move: Move, fields: dict[str, object], status: int, kind: str, detail: str
) -> None:
    assert_problem(move(**{"action": "start", "strategy": "shadow", **fields}), status, kind, detail)
    assert [] == decisions(client).json["decisions"]


@pytest.mark.parametrize("action", ["step", "stop", "promote", "rollback"])
def test_without_a_rollout_there_is_nothing_to_move(move: Move, action: str) -> None:
    assert_problem(move(action), 409, "no-rollout", "membrane")


def test_a_version_that_was_not_judged_is_not_promoted(move: Move, platform: Platform, tmp_path: Path) -> None:
    contract = stand_ins.MEMBRANE.model_copy(update={"version": "3"})
    platform.registry.add(stand_ins.seal(tmp_path / "third", contract).path)
    assert_problem(move("promote", challenger="3"), 409, "not-proven", "bioseg gate membrane --candidate 3")


def test_a_damaged_challenger_is_told_with_the_reason(move: Move, platform: Platform) -> None:
    (platform.registry.open("membrane", "2").path / "sample.npz").write_bytes(b"other")
    assert_problem(move("start", strategy="shadow"), 409, "arm-failed", "was altered")


def test_a_study_is_asked_for_by_its_name(client: FlaskClient) -> None:
    answer = decisions(client, "?study=nerves")
    assert_problem(answer, 404, "unknown-study", "nerves")

"""The API of the blind review: who may call it, what it answers, and that nothing in it tells the arms apart."""

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from numpy.typing import NDArray
from werkzeug.test import TestResponse

from application import create_app
from bioseg import images
from bioseg.database.tables import Pair, RequestRecord
from bioseg.platform import Platform
from bioseg.testing import pairs

API, OPERATOR = "the-api-token", "the-operators-token"
REVIEW, DISAGREEMENTS = "/api/v1/rollouts/membrane/review", "/api/v1/rollouts/membrane/disagreements"
SIZE = (80, 96)
CALLS = [
    ("GET", REVIEW),
    ("GET", DISAGREEMENTS),
    ("GET", "/api/v1/rollouts/nerves/review"),
    ("GET", "/api/v1/pairs/x/left.png"),
    ("POST", "/api/v1/pairs/x/judgement"),
]


def drawn(rows: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, bool)
    mask[:rows] = True
    return mask


MASKS = {"champion": drawn(20), "challenger": drawn(40)}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Caller:
    """A program with a token."""

    def __init__(self, app: Flask, token: str = OPERATOR) -> None:
        self.client, self.headers = app.test_client(), bearer(token)

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, headers=self.headers)

    def judge(self, pair: str, **given: Any) -> TestResponse:
        return self.client.post(f"/api/v1/pairs/{pair}/judgement", json=given, headers=self.headers)

    def correct(self, pair: str, *masks: NDArray[np.bool_], **fields: str) -> TestResponse:
        files = [(io.BytesIO(images.encode_mask(mask)), "mask.png") for mask in masks]
        form = {"mask": files, **fields}
        return self.client.post(f"/api/v1/pairs/{pair}/judgement", data=form, headers=self.headers)

    def send(self, image: bytes, call: str = "segment", **fields: str) -> dict[str, Any]:
        form = {"image": (io.BytesIO(image), "a.png"), **fields}
        answer: dict[str, Any] = self.client.post(f"/api/v1/{call}", data=form, headers=self.headers).json
        return answer


@pytest.fixture
def platform(make_platform: Callable[..., Platform]) -> Platform:
    return make_platform(operator_token=OPERATOR)


@pytest.fixture
def operator(app: Flask) -> Caller:
    return Caller(app)


@pytest.fixture
def rollout(platform: Platform) -> str:
    return pairs.start(platform, "membrane")


@pytest.fixture
def add(platform: Platform, rollout: str, operator: Caller, section: bytes) -> Callable[..., int]:
    """Add a pair of masks."""

    def add(**columns: Any) -> int:
        return pairs.add(platform, rollout, record(platform, operator.send(section)["id"]), MASKS, **columns)

    return add


def record(platform: Platform, request_id: str) -> RequestRecord:
    with platform.sessions() as session:
        return session.query(RequestRecord).filter_by(id=request_id).one()


def row(platform: Platform, pair: int) -> Pair:
    with platform.sessions() as session:
        return session.get_one(Pair, pair)


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_stranger_is_asked_for_a_token(app: Flask, method: str, path: str) -> None:
    answer = app.test_client().open(path, method=method)
    assert [answer.status_code, answer.headers["WWW-Authenticate"]] == [401, "Bearer"]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_who_has_the_api_token_alone_is_refused(make_platform: Callable[..., Platform], method: str, path: str) -> None:
    app = create_app(make_platform(api_token=API, operator_token=OPERATOR))
    browser = app.test_client()
    browser.post("/session", json={"token": API})
    statuses = [
        app.test_client().open(path, method=method, headers=bearer(API)).status_code,
        browser.open(path, method=method).status_code,
    ]
    assert statuses == [403, 403]


def test_a_strangers_refusal_does_not_tell_whether_there_is_a_pair(app: Flask, add, operator: Caller) -> None:
    before = app.test_client().get(REVIEW)
    add()
    assert operator.get(REVIEW).status_code == 200
    assert app.test_client().get(REVIEW).data == before.data


def test_an_operators_browser_reviews_with_its_cookie_and_token(app: Flask, add, platform: Platform) -> None:
    made, browser = add(), app.test_client()
    browser.post("/operate/session", json={"token": OPERATOR})
    pair = browser.get(REVIEW).json
    path = f"/api/v1/pairs/{pair['id']}/judgement"
    with browser.session_transaction() as session:
        proof = {"X-CSRF-Token": session["operator"]["csrf"]}
    assert browser.get(pair["left_url"]).status_code == 200
    statuses = [browser.post(path, json={"preferred": "left"}, headers=headers).status_code for headers in ({}, proof)]
    assert statuses == [403, 204]
    assert row(platform, made).preference == "champion"


class TestReview:
    def test_gives_the_pair_with_its_pictures(self, operator: Caller, add, section: bytes) -> None:
        add(left="challenger", corrected_from="champion")
        pair = operator.get(REVIEW).json
        told = {name: pair[name] for name in ("study", "task", "classes", "judged", "waiting")}
        assert told == {"study": "membrane", "task": "segmentation", "classes": [], "judged": 0, "waiting": 1}
        expected = {"left": MASKS["challenger"], "right": MASKS["champion"], "start": MASKS["champion"]}
        for shown, mask in expected.items():
            np.testing.assert_array_equal(images.decode_png(operator.get(pair[f"{shown}_url"]).data) > 0, mask)
        image = images.decode_png(operator.get(pair["image_url"]).data)
        np.testing.assert_array_equal(image, images.decode_png(section))

    def test_goes_on_after_a_judgement(self, operator: Caller, add) -> None:
        for rank in (0.1, 0.2):
            add(rank=rank)
        first = operator.get(REVIEW).json
        assert operator.judge(first["id"], preferred="same").status_code == 204
        second = operator.get(REVIEW).json
        assert [second["id"] != first["id"], second["judged"], second["waiting"]] == [True, 1, 1]
        assert operator.correct(second["id"], drawn(30)).status_code == 204
        assert [operator.get(REVIEW).status_code, operator.get(REVIEW).data] == [204, b""]

    @pytest.mark.parametrize(("study", "status"), [("membrane", 409), ("nerves", 404), ("kinds", 409)])
    def test_needs_a_rollout_of_a_study(self, operator: Caller, study: str, status: int) -> None:
        paths = [f"/api/v1/rollouts/{study}/{what}" for what in ("review", "disagreements")]
        assert [operator.get(path).status_code for path in paths] == [status, status]


class TestJudgement:
    @pytest.mark.parametrize("chosen", ["left", "right", "same"])
    def test_is_kept_as_the_arm(self, operator: Caller, add, platform: Platform, chosen: str) -> None:
        made = add(left="challenger")
        answer = operator.judge(operator.get(REVIEW).json["id"], preferred=chosen)
        assert [answer.status_code, answer.data] == [204, b""]
        expected = {"left": "challenger", "right": "champion", "same": "same"}
        assert row(platform, made).preference == expected[chosen]

    def test_by_a_corrected_mask_scores_both_arms(self, operator: Caller, add, platform: Platform) -> None:
        made = add()
        answer = operator.correct(operator.get(REVIEW).json["id"], drawn(20))
        assert [answer.status_code, answer.data] == [204, b""]
        kept = row(platform, made)
        assert [kept.champion_quality, kept.challenger_quality] == [1.0, 2 / 3]

    @pytest.mark.parametrize("again", ["left", "right"])
    def test_is_given_once(self, operator: Caller, add, platform: Platform, again: str) -> None:
        made = add()
        pair = operator.get(REVIEW).json["id"]
        operator.judge(pair, preferred="left")
        answer = operator.judge(pair, preferred=again)
        assert [answer.status_code, answer.json["type"]] == [409, "urn:bioseg:problem:already-judged"]
        assert row(platform, made).preference == "champion"

    def test_by_a_mask_is_given_once(self, operator: Caller, add) -> None:
        add()
        pair = operator.get(REVIEW).json["id"]
        statuses = [operator.correct(pair, drawn(rows)).status_code for rows in (20, 40)]
        assert statuses == [204, 409]

    @pytest.mark.parametrize(
        "given",
        [
            {},
            {"preferred": "champion"},
            {"preferred": None},
            {"preferred": "left", "label": "membrane"},
            {"mask": "left"},
        ],
    )
    def test_says_exactly_one_thing(self, operator: Caller, add, given: dict[str, Any]) -> None:
        add()
        answer = operator.judge(operator.get(REVIEW).json["id"], **given)
        assert [answer.status_code, answer.mimetype] == [400, "application/problem+json"]

    def test_says_no_two_things_at_once(self, operator: Caller, add) -> None:
        add()
        pair = operator.get(REVIEW).json["id"]
        answers = [operator.correct(pair, drawn(1), drawn(2)), operator.correct(pair, drawn(1), preferred="left")]
        assert [answer.status_code for answer in answers] == [400, 400]

    def test_of_another_size_is_refused(self, operator: Caller, add) -> None:
        add()
        answer = operator.correct(operator.get(REVIEW).json["id"], np.ones((4, 4), bool))
        assert [answer.status_code, "96x80" in answer.json["detail"]] == [400, True]

    def test_in_words_is_for_classifications(self, operator: Caller, add) -> None:
        add()
        answer = operator.judge(operator.get(REVIEW).json["id"], label="membrane")
        assert [answer.status_code, answer.json["type"]] == [409, "urn:bioseg:problem:wrong-task"]

    @pytest.mark.parametrize("pair", ["1", "x", "Nw.AAAAAAAAAAAAAAAAAAAAAAAAAAA", "%00"])
    def test_of_an_id_that_was_not_given_out_is_unknown(self, operator: Caller, add, pair: str) -> None:
        add()
        assert operator.judge(pair, preferred="left").status_code == 404
        assert operator.get(f"/api/v1/pairs/{pair}/left.png").status_code == 404


def test_a_classification_is_judged_by_its_class(platform: Platform, operator: Caller, section: bytes) -> None:
    rollout = pairs.start(platform, "kinds")
    sent = record(platform, operator.send(section, "classify", study="kinds")["id"])
    made = pairs.add(platform, rollout, sent, {}, champion_answer="photo", challenger_answer="texture", agreement=0.0)
    pair = operator.get("/api/v1/rollouts/kinds/review").json
    assert [pair["task"], "photo" in pair["classes"], pair["left_url"]] == ["classification", True, None]
    listed = operator.get("/api/v1/rollouts/kinds/disagreements").json["pairs"][0]
    assert [listed["left_label"], listed["right_label"], listed["left_url"]] == ["photo", "texture", None]
    assert operator.judge(pair["id"], label="liver").status_code == 400
    assert operator.judge(pair["id"], label="texture").status_code == 204
    assert [row(platform, made).champion_quality, row(platform, made).challenger_quality] == [0.0, 1.0]


class TestDisagreements:
    def test_come_in_the_order_of_the_agreement(self, operator: Caller, add) -> None:
        for agreement in (0.9, 0.3):
            add(agreement=agreement)
        listed = operator.get(DISAGREEMENTS).json
        assert [each["agreement"] for each in listed["pairs"]] == [0.3, 0.9]
        assert listed["classes"] == ["membrane", "other"]
        assert operator.get(listed["pairs"][0]["left_url"]).status_code == 200

    def test_cannot_be_judged(self, operator: Caller, add, platform: Platform) -> None:
        made = add(agreement=0.3)
        address = operator.get(DISAGREEMENTS).json["pairs"][0]["left_url"]
        assert operator.judge(address.split("/")[-2], preferred="left").status_code == 404
        assert row(platform, made).preference is None

    def test_are_labelled_without_evidence(self, operator: Caller, add, platform: Platform) -> None:
        made = add(agreement=0.3)
        address = operator.get(DISAGREEMENTS).json["pairs"][0]["feedback_url"]
        form = {"mask": (io.BytesIO(images.encode_mask(drawn(30))), "mask.png")}
        assert operator.client.post(address, data=form, headers=operator.headers).status_code == 200
        assert [row(platform, made).champion_quality, row(platform, made).quality_number] == [None, None]
        assert operator.get(DISAGREEMENTS).json["pairs"] == []


class TestBlindness:
    """The same two masks with the arms the other way round have to look the same, to the last byte."""

    @staticmethod
    def answers(operator: Caller, pair: int, platform: Platform) -> list[tuple[Any, ...]]:
        told = operator.get(REVIEW)
        addresses = [told.json[f"{shown}_url"] for shown in ("image", "left", "right", "start")]
        pictures = [operator.get(address) for address in addresses]
        ignored = {"Server-Timing", "Date"}
        headers = [sorted((k, v) for k, v in each.headers if k not in ignored) for each in (told, *pictures)]
        return [(told.json, headers, [each.data for each in pictures])]

    def test_swapped_arms_cannot_be_told_apart(self, operator: Caller, add, platform: Platform) -> None:
        made = add(left="champion", corrected_from="champion")
        before = self.answers(operator, made, platform)
        with platform.sessions.begin() as session:
            pair = session.get_one(Pair, made)
            pair.left = pair.corrected_from = "challenger"
            pair.champion_blob, pair.challenger_blob = pair.challenger_blob, pair.champion_blob
        assert self.answers(operator, made, platform) == before

    def test_no_answer_names_an_arm_a_version_or_a_blob(self, operator: Caller, add, platform: Platform) -> None:
        made = row(platform, add(agreement=0.3))
        names = [str(made.champion_blob), str(made.challenger_blob), "champion", "challenger", "1.2.3", made.rollout]
        told = [operator.get(REVIEW), operator.get(DISAGREEMENTS)]
        pictures = [operator.get(told[0].json[f"{shown}_url"]) for shown in ("image", "left", "right", "start")]
        text = "".join(each.text for each in told) + "".join(str(each.headers) for each in (*told, *pictures))
        assert [name for name in names if name in text] == []

    def test_pictures_carry_no_tag_that_the_requests_own_mask_has(self, operator: Caller, add) -> None:
        add()
        pair = operator.get(REVIEW).json
        pictures = [operator.get(pair[f"{shown}_url"]) for shown in ("left", "right", "start", "image")]
        tags = {"ETag", "Last-Modified", "Content-Disposition"}
        assert [tags & set(each.headers.keys()) for each in pictures] == [set()] * 4
        assert {each.headers["Cache-Control"] for each in pictures} == {"no-store"}

    def test_the_pair_does_not_lead_to_its_request(self, operator: Caller, add, section: bytes) -> None:
        sent = operator.send(section)["id"]
        add()
        assert re.findall(r"[0-9a-f]{32}", operator.get(REVIEW).text) == []
        assert sent not in operator.get(REVIEW).text


def test_an_id_of_another_installation_is_unknown(
    make_platform: Callable[..., Platform], operator: Caller, add
) -> None:
    add()
    pair = operator.get(REVIEW).json["id"]
    other = Caller(create_app(make_platform(operator_token=OPERATOR, secret_key="another key of the tests")))
    assert other.judge(pair, preferred="left").status_code == 404


def test_the_reviewers_calls_are_described_as_the_operators(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").json["paths"]
    judgement = paths["/api/v1/pairs/{pair_id}/judgement"]["post"]
    assert set(judgement["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert [judgement["security"], {"403", "409"} <= set(judgement["responses"])] == [
        [{"token": []}, {"cookie": []}],
        True,
    ]

"""The operators' pages in a real browser, against the real server."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect

from bioseg import images, rollouts
from bioseg.database.tables import Pair, RequestRecord
from bioseg.decoding.confined import Confined
from bioseg.platform import Platform, open_platform
from bioseg.registry import aliases
from bioseg.settings import Settings
from bioseg.testing import browsing, pairs, twins
from bioseg.testing.browsing import CONTRAST

SIDE = 64
COURSE = [
    {"estimate": 0.1, "low": -0.3, "high": 0.4, "n": 50},
    {"estimate": 0.02, "low": -0.01, "high": 0.05, "n": 140},
]
RUNNING = {
    "study": "membrane",
    "revision": 7,
    "champion": "1.0.0",
    "challenger": "2.0.0",
    "strategy": "canary",
    "share": 0.1,
    "rollout": "0" * 32,
    "frozen": False,
    "pairs": 140,
    "dropped": 3,
    "verdict": {
        "verdict": "continue",
        "reason": "Live quality not measured, no masks of audited images were corrected yet.",
        "forecast": "about 140 more pairs at the present variance",
        "intervals": {},
        "live_quality": False,
    },
    "course": {"quality": COURSE, "latency": COURSE},
}


@pytest.fixture
def platform(guarded_server: Any, tiny_models: Path, confined: Confined) -> Platform:
    """The installation that the server runs, for what its worker would do."""
    settings = Settings(state_dir=guarded_server.log.parent, models_dir=tiny_models)
    return replace(open_platform(settings), decode=confined)


@pytest.fixture
def rollout(platform: Platform) -> Iterator[str]:
    """A shadow rollout of `membrane`, which no test finds running afterwards."""
    yield pairs.start(platform, "membrane")
    if aliases.kept(platform.registry, platform.sessions)("membrane").rollout:
        rollouts.stop(platform, "membrane", actor="ann")


@pytest.fixture
def add(platform: Platform, rollout: str, guarded_server: Any) -> Callable[..., int]:
    """Add a pair: an upload, and a mask of each arm."""
    headers = {"Authorization": f"Bearer {guarded_server.operator_token}"}

    def add(**columns: Any) -> int:
        file = ("a.png", io.BytesIO(images.encode_png(twins.membrane_section(3, SIDE)[0])))
        sent = requests.post(
            f"{guarded_server.address}/api/v1/segment", files={"image": file}, headers=headers, timeout=60
        ).json()
        with platform.sessions() as session:
            record = session.query(RequestRecord).filter_by(id=sent["id"]).one()
        masks = {"champion": drawn(20), "challenger": drawn(40)}
        return pairs.add(platform, rollout, record, masks, **columns)

    return add


def drawn(rows: int) -> Any:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:rows] = True
    return mask


@pytest.fixture
def visit(browser: Browser, guarded_server: Any) -> Iterator[Callable[..., Page]]:
    """Open one of the operators' pages and sign in."""
    opened = []

    def visit(path: str, width: int = 1180, token: str = guarded_server.operator_token) -> Page:
        visiting = browsing.visit(browser, f"{guarded_server.address}{path}", "401|409", width)
        opened.append(visiting)
        page = visiting.__enter__()
        sign_in(page, token)
        expect(page.locator("#sign-out, #sign-in-problem:not(:empty)")).to_be_visible()
        return page

    yield visit
    for visiting in opened:
        visiting.__exit__(None, None, None)


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Operators' token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def card(page: Page, study: str = "membrane") -> Locator:
    return page.locator(f"#studies > [data-study={study}]")


def await_pair(page: Page, progress: str) -> None:
    """Wait until both masks of a pair are drawn: as long as they are not, the page takes no further judgement."""
    pair = page.locator("#pair")
    expect(pair).to_contain_text(progress)
    for side in ("left", "right"):
        expect(pair.locator(f"[data-{side}]")).to_have_js_property("width", SIDE)


def row(platform: Platform, pair: int) -> Pair:
    with platform.sessions() as session:
        return session.get_one(Pair, pair)


def test_an_operator_signs_in_and_out(visit: Callable[..., Page], guarded_server: Any) -> None:
    page = visit("/operate", token="a wrong token")
    expect(page.get_by_role("alert")).to_have_text("the token is wrong.")
    assert page.evaluate(CONTRAST) == []
    sign_in(page, guarded_server.operator_token)
    expect(page.get_by_role("heading", name="Rollouts")).to_be_visible()
    expect(card(page)).to_contain_text("No rollout")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{guarded_server.address}/")
    page.goto(f"{guarded_server.address}/operate")
    expect(page.get_by_label("Operators' token")).to_be_visible()


def test_an_operators_browser_sends_and_deletes_on_the_ordinary_page(
    visit: Callable[..., Page], guarded_server: Any
) -> None:
    page = visit("/operate")
    expect(card(page)).to_be_visible()
    page.goto(guarded_server.address)
    page.locator("[data-example]").first.click()
    expect(page).to_have_url(re.compile("#[0-9a-f]{32}$"))  # which it has when all of the result is drawn
    sent = page.url.partition("#")[2]
    page.reload()
    expect(page.locator("#result canvas")).to_be_visible()
    remove = page.locator("#history-list [data-delete]").first
    remove.click()
    expect(remove).to_have_text("Really delete?")
    with page.expect_response(f"**/api/v1/requests/{sent}") as deleted:
        remove.click()
    assert [deleted.value.request.method, deleted.value.status] == ["DELETE", 204]


def test_pairs_are_judged_by_keys_and_by_a_corrected_mask(
    visit: Callable[..., Page], add: Callable[..., int], platform: Platform
) -> None:
    first, second = add(rank=0.1, left="challenger"), add(rank=0.2)
    page = visit("/operate/review?study=membrane")
    pair = page.locator("#pair")
    await_pair(page, "0 judged, 2 to go.")
    page.keyboard.press("3")
    await_pair(page, "1 judged, 1 to go.")
    assert row(platform, first).preference == "champion"
    page.get_by_text("Correct a mask").click()
    file = {"name": "mask.png", "mimeType": "image/png", "buffer": images.encode_mask(drawn(40))}
    page.get_by_label("Corrected mask").set_input_files(file)
    page.get_by_role("button", name="Send the corrected mask").click()
    expect(pair.get_by_role("status")).to_contain_text("Your mask is kept.")
    kept = row(platform, second)
    assert [kept.challenger_quality, kept.champion_quality] == [1.0, 2 / 3]
    page.get_by_role("button", name="No difference").click()
    expect(page.locator("#nothing")).to_contain_text("No pair waits.")
    assert row(platform, second).preference == "same"
    page.get_by_role("link", name="Rollouts").click()
    expect(card(page).locator("[data-kind=quality]")).to_contain_text("+0.3333")


def test_a_pair_that_somebody_else_has_judged_gives_way_to_the_next(
    visit: Callable[..., Page], add: Callable[..., int], platform: Platform
) -> None:
    first, second = add(rank=0.1), add(rank=0.2)
    page = visit("/operate/review")
    expect(page.locator("#pair")).to_contain_text("0 judged, 2 to go.")
    with platform.sessions.begin() as session:
        pair = session.get_one(Pair, first)
        pair.preference, pair.preferred_at = "same", pair.created_at
    page.get_by_role("button", name="Left").click()
    expect(page.locator("#pair").get_by_role("alert")).to_contain_text("somebody has judged this pair")
    expect(page.locator("#pair")).to_contain_text("1 judged, 1 to go.")
    page.keyboard.press("1")
    expect(page.locator("#nothing")).to_be_visible()
    assert [row(platform, pair).preference for pair in (first, second)] == ["same", "champion"]


def test_a_disagreement_is_labelled(visit: Callable[..., Page], add: Callable[..., int], platform: Platform) -> None:
    made = add(agreement=0.3)
    page = visit("/operate/review")
    item = page.locator("#disagreement-list > li")
    expect(item).to_contain_text("They agree by 30.0 % (Dice).")
    item.get_by_text("Label it").click()
    file = {"name": "mask.png", "mimeType": "image/png", "buffer": images.encode_mask(drawn(40))}
    item.get_by_label("Corrected mask").set_input_files(file)
    item.get_by_role("button", name="Keep the label").click()
    expect(item).to_have_count(0)
    assert row(platform, made).challenger_quality is None


def test_a_rollout_is_rolled_back_after_a_question(visit: Callable[..., Page], rollout: str) -> None:
    page = visit("/operate")
    expect(card(page)).to_contain_text("shadow")
    expect(card(page)).to_contain_text("Live quality not measured")
    card(page).get_by_role("button", name="Roll back").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The rollout of 2 ends.")
    dialog.get_by_role("button", name="Leave it").click()
    expect(card(page)).to_contain_text("shadow")
    expect(card(page)).to_contain_text("Live quality not measured")
    card(page).get_by_role("button", name="Roll back").click()
    dialog.get_by_label("Reason").fill("it draws the wrong cells")
    dialog.get_by_role("button", name="Roll back").click()
    expect(card(page)).to_contain_text("No rollout")
    newest = page.locator("#ledger tbody tr").first
    expect(newest).to_contain_text("rollback")
    expect(newest).to_contain_text("it draws the wrong cells")


def test_a_ledger_that_was_altered_says_so_beside_what_serves(visit: Callable[..., Page]) -> None:
    page = visit("/operate")
    problem = {"title": "The ledger was altered", "status": 500, "detail": "membrane/2 was altered"}
    page.route("**/api/v1/decisions", lambda route: route.fulfill(status=409, json=problem))
    page.reload()
    expect(page.locator("#ledger-problem")).to_have_text("membrane/2 was altered")
    expect(card(page)).to_be_visible()


def test_who_saw_an_older_revision_is_told(visit: Callable[..., Page], rollout: str, platform: Platform) -> None:
    page = visit("/operate")
    card(page).get_by_role("button", name="Roll back").click()
    rollouts.stop(platform, "membrane", actor="ann")
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(card(page).get_by_role("alert")).to_contain_text("The study has moved on")
    expect(card(page)).to_contain_text("No rollout")


def answer_rollouts(page: Page, *standings: dict[str, Any]) -> None:
    """Answer in the server's place."""
    page.route("**/api/v1/rollouts", lambda route: route.fulfill(json={"rollouts": list(standings)}))


def test_a_rollout_shows_what_the_evidence_says(visit: Callable[..., Page]) -> None:
    page = visit("/operate")
    answer_rollouts(page, RUNNING)
    page.reload()
    shown = card(page)
    for text in ("Not decided yet", "canary, 10 %", "140 (3 dropped)", "not measured", "about 140 more"):
        expect(shown).to_contain_text(text)
    quality, latency = shown.locator("[data-kind=quality]"), shown.locator("[data-kind=latency]")
    expect(quality).to_contain_text("+0.0200, between −0.0100 and +0.0500, n = 140")
    expect(latency).to_contain_text("1.02 ×, between 0.99 × and 1.05 ×, n = 140")
    assert len(str(quality.locator("polygon").get_attribute("points")).split()) == 4
    expect(shown.get_by_role("button", name="Next share")).to_be_visible()


@pytest.mark.parametrize(("frozen", "offered"), [(True, ["Unfreeze", "Roll back"]), (False, ["Roll back"])])
def test_only_what_can_be_done_is_offered(visit: Callable[..., Page], frozen: bool, offered: list[str]) -> None:
    page = visit("/operate")
    idle = {"challenger": None, "strategy": "single", "share": 0.0, "rollout": None, "verdict": None, "course": None}
    answer_rollouts(page, RUNNING | idle | {"frozen": frozen})
    page.reload()
    expect(card(page).locator("[data-actions] button")).to_have_text(offered)
    expect(card(page).locator("[data-start]")).to_be_visible(visible=not frozen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_can_be_read(visit: Callable[..., Page], add: Callable[..., int], scheme: str) -> None:
    add(agreement=0.3)
    page = visit("/operate", width=340)
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    answer_rollouts(page, RUNNING)
    page.reload()
    expect(card(page)).to_be_visible()
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 340
    page.get_by_role("link", name="Review its pairs").click()
    expect(page.locator("#disagreement-list > li")).to_be_visible()
    for closed in ("Correct a mask", "Label it"):
        page.get_by_text(closed).click()
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 340

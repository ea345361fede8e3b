"""The page in a real browser, against the real server."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from playwright.sync_api import Browser, Page, Request, Route, expect

from bioseg import images, studies
from bioseg.testing import browsing, twins
from bioseg.testing.browsing import CONTRAST, PATIENCE

DROP = """([data, name, type]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragover", "drop"]) {
    const event = new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true });
    document.getElementById("drop").dispatchEvent(event);
  }
}"""

SCREEN = {"verdict": "ask", "score": 0.7, "kind": "texture", "reason": "looks like a texture, 0.30", "version": "1"}
DOUBTFUL = {"title": "The image was not accepted", "status": 422, "detail": "-", "id": "0" * 32, "screen": SCREEN}
WIDE = images.encode_png(twins.membrane_section(13, 320)[0])


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """The open page of a new visitor; afterwards nothing foreign was asked for and nothing complained."""
    with browsing.visit(browser, server, "422|503") as page:
        yield page


@pytest.fixture
def guarded_page(browser: Browser, guarded_server: Any) -> Iterator[Page]:
    """The same of an installation that asks its visitors for a token: calls without it are answered 401."""
    with browsing.visit(browser, guarded_server.address, "401") as page:
        yield page


def drop(page: Page, data: bytes, name: str = "section.png", kind: str = "image/png") -> None:
    """Drop a file on the page, as a mouse does."""
    page.evaluate(DROP, [base64.b64encode(data).decode(), name, kind])


def segment(page: Page, data: bytes) -> None:
    """Drop a file and ask for its mask."""
    drop(page, data)
    page.get_by_role("button", name="Segment", exact=True).click()


def answer_once(page: Page, status: int, body: object, headers: dict[str, str] | None = None) -> list[Request]:
    """Answer the next upload in the server's place; gives the list that will hold it."""
    answered: list[Request] = []

    def answer(route: Route) -> None:
        answered.append(route.request)
        route.fulfill(status=status, json=body, headers=headers, content_type="application/problem+json")

    page.route("**/api/v1/segment", answer, times=1)
    return answered


def await_result(page: Page) -> None:
    """Wait until a result is drawn."""
    expect(page.locator("#result canvas")).to_be_visible(timeout=PATIENCE)
    # 300 is a canvas that nothing was drawn on. The page's policy forbids what a polled function would take: eval.
    expect(page.locator("#result canvas")).not_to_have_js_property("width", 300, timeout=PATIENCE)


@pytest.fixture(scope="session")
def section() -> bytes:
    return images.encode_png(twins.membrane_section(11, 256)[0])


@pytest.fixture(scope="session")
def photo() -> bytes:
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    return images.encode_png(np.kron(colours, np.ones((32, 32, 1), np.uint8)))


def test_a_dropped_section_shows_its_mask_over_the_image(page: Page, section: bytes) -> None:
    segment(page, section)
    await_result(page)
    tinted = page.evaluate(
        """() => {
          const canvas = document.querySelector("#result canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.filter((_, at) => at % 4 === 3 && data[at] > 0).length / (canvas.width * canvas.height);
        }"""
    )
    shown = float(page.locator("#result h2").inner_text().split()[0])
    assert 100 * tinted == pytest.approx(shown, abs=0.06)
    expect(page.locator("#result .verdict")).to_contain_text("Accepted looks like membrane EM")


def test_the_slider_sets_the_opacity_of_the_mask(page: Page, section: bytes) -> None:
    segment(page, section)
    await_result(page)
    page.get_by_label("Opacity of the mask").fill("25")
    expect(page.locator("#result canvas")).to_have_css("opacity", "0.25")


def test_an_example_is_one_click_away(page: Page) -> None:
    page.locator("[data-example]").first.click()
    await_result(page)
    expect(page.get_by_role("link", name="Download mask")).to_be_visible()


def test_a_photo_is_refused_with_the_reason(page: Page, photo: bytes) -> None:
    segment(page, photo)
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("The image was not accepted", timeout=PATIENCE)
    expect(problem).to_contain_text("looks like")
    expect(page.locator("#result")).to_be_hidden()


def test_a_doubtful_image_is_segmented_on_the_users_word(page: Page, section: bytes) -> None:
    first = answer_once(page, 422, DOUBTFUL)
    segment(page, section)
    expect(page.get_by_role("alert")).to_contain_text("looks like a texture, 0.30", timeout=PATIENCE)
    with page.expect_request("**/api/v1/segment") as second:
        page.get_by_role("button", name="Segment anyway").click()
    await_result(page)
    assert b'name="override"' not in (first[0].post_data_buffer or b"")
    assert second.value.headers["idempotency-key"] != first[0].headers["idempotency-key"]


def test_the_users_word_is_kept_to_the_image_it_was_given_for(page: Page, section: bytes) -> None:
    held: list[Route] = []
    page.route("**/api/v1/segment", lambda route: held.append(route), times=1)  # noqa: PLW0108
    with page.expect_request("**/api/v1/segment"):
        segment(page, section)
    page.locator("#file").set_input_files({"name": "wide.png", "mimeType": "image/png", "buffer": WIDE})
    expect(page.locator("#chosen")).to_have_text("wide.png")
    held[0].fulfill(status=422, json=DOUBTFUL, content_type="application/problem+json")
    page.get_by_role("button", name="Segment anyway").click()
    await_result(page)
    expect(page.locator("#result").get_by_alt_text("The uploaded image")).to_have_js_property("naturalWidth", 256)


def test_a_question_is_withdrawn_when_another_image_is_chosen(page: Page, section: bytes) -> None:
    answer_once(page, 422, DOUBTFUL)
    segment(page, section)
    expect(page.get_by_role("button", name="Segment anyway")).to_be_visible(timeout=PATIENCE)
    drop(page, WIDE, "wide.png")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_busy_server_is_asked_again_with_the_same_key(page: Page, section: bytes) -> None:
    problem = {"title": "The models are busy", "status": 503, "detail": "try again"}
    first = answer_once(page, 503, problem, {"Retry-After": "1"})
    with page.expect_request(lambda request: "/segment" in request.url and bool(first)) as second:
        segment(page, section)
    await_result(page)
    assert second.value != first[0]
    assert second.value.headers["idempotency-key"] == first[0].headers["idempotency-key"]


def test_the_users_label_and_feedback_arrive(page: Page, section: bytes) -> None:
    drop(page, section)
    page.get_by_role("radio", name="membrane").check()
    page.get_by_role("button", name="Segment", exact=True).click()
    await_result(page)
    page.get_by_role("radio", name="Right").check()
    page.get_by_label("Comment").fill("well done")
    page.get_by_role("button", name="Send feedback").click()
    expect(page.locator("[data-feedback-state]")).to_have_text("Thank you, saved.")
    record = page.evaluate("fetch(`/api/v1/requests/${location.hash.slice(1)}`).then((answer) => answer.json())")
    given = [record["label"], record["feedback"]["mask_ok"], record["feedback"]["comment"]]
    assert given == ["membrane", True, "well done"]


def test_every_study_is_offered_in_its_own_words(page: Page) -> None:
    screens = {study.screened_by for study in studies.all_studies().values()}
    offered = [study for name, study in studies.all_studies().items() if name not in screens]
    verbs = {"segmentation": "Segment", "classification": "Classify"}
    assert page.get_by_label("Study").input_value() == studies.DEFAULT
    for study in offered:
        page.get_by_label("Study").select_option(study.name)
        expect(page.locator("#run")).to_have_text(verbs[study.task])
        expect(page.locator("#labels label")).to_have_text([*study.classes, "don't say"])
        expect(page.locator("#about")).to_contain_text(study.notice)
        expect(page.locator("#about")).to_contain_text(study.known_failures[0])
        expect(page.locator("#about")).to_contain_text(study.datasets[0].licence)
        expect(page.locator("#examples")).to_be_visible(visible=study.name == studies.DEFAULT)


def test_a_result_bears_the_notice_of_its_study(page: Page, section: bytes) -> None:
    segment(page, section)
    await_result(page)
    expect(page.locator("#result")).to_contain_text(studies.get("membrane").notice)


def test_a_classification_shows_its_probabilities(page: Page, section: bytes) -> None:
    drop(page, section)
    page.get_by_role("button", name="Only tell its kind").click()
    expect(page.locator("#result h2")).to_have_text("membrane EM", timeout=PATIENCE)
    expect(page.locator("#result .bars li")).to_have_count(9)
    widths = page.evaluate("[...document.querySelectorAll('.fill')].map((fill) => fill.getBoundingClientRect().width)")
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 10 * widths[-1]


def test_a_classification_shows_where_its_evidence_lies(page: Page, tmp_path: Path) -> None:
    twins.brain_mri(tmp_path, count=2, side=128)
    page.get_by_label("Study").select_option("brain")
    drop(page, (tmp_path / "brain_mri/yes/Y1.jpg").read_bytes(), "Y1.jpg", "image/jpeg")
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.locator("#result .bars li")).to_have_count(2, timeout=PATIENCE)
    heat = page.get_by_alt_text("Heat map of the evidence for the told class, over the image")
    expect(heat).to_have_js_property("naturalWidth", 128, timeout=PATIENCE)
    expect(page.get_by_role("link", name="Download heatmap")).to_be_visible()


def test_the_history_opens_and_deletes_a_request(page: Page, section: bytes) -> None:
    segment(page, section)
    await_result(page)
    page.reload()
    await_result(page)
    entries = page.locator("#history-list li")
    expect(entries).to_have_count(1)
    remove = entries.first.locator("[data-delete]")
    remove.click()
    expect(remove).to_have_text("Really delete?")
    remove.click()
    expect(entries).to_have_count(0)


def test_a_tiff_is_shown_after_the_upload(page: Page) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, twins.membrane_section(12, 128)[0].astype(np.uint16) * 256)
    drop(page, file.getvalue(), "section.tif", "image/tiff")
    page.get_by_role("button", name="Segment", exact=True).click()
    await_result(page)
    expect(page.locator("#result").get_by_alt_text("The uploaded image")).to_have_js_property("naturalWidth", 128)


def test_the_page_works_by_keyboard(page: Page, section: bytes) -> None:
    drop(page, section)
    expect(page.get_by_role("button", name="Segment", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    await_result(page)
    expect(page.locator("#result")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(page: Page, section: bytes, photo: bytes, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    segment(page, section)
    await_result(page)
    assert page.evaluate(CONTRAST) == []
    segment(page, photo)
    expect(page.get_by_role("alert")).to_be_visible(timeout=PATIENCE)
    assert page.evaluate(CONTRAST) == []


def test_a_narrow_screen_needs_no_sideways_scrolling(page: Page, section: bytes) -> None:
    page.set_viewport_size({"width": 340, "height": 700})
    segment(page, section)
    await_result(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 340


def test_the_api_documentation_is_interactive_without_a_foreign_host(page: Page, server: str) -> None:
    page.goto(f"{server}/docs")
    expect(page.locator(".opblock-post").first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("/api/v1/segment")).to_be_visible()


def sign_in(page: Page, token: str) -> None:
    """Fill in the form that asks for the token."""
    page.get_by_label("Access token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_a_visitor_signs_in_and_out_where_a_token_is_asked_for(
    guarded_page: Page, guarded_server: Any, section: bytes
) -> None:
    form, upload = guarded_page.locator("#sign-in"), guarded_page.locator("#upload")
    expect(form).to_be_visible()
    expect(upload).to_be_hidden()
    assert guarded_page.evaluate(CONTRAST) == []
    sign_in(guarded_page, "a wrong token")
    expect(form.get_by_role("alert")).to_have_text("the token is wrong.")
    sign_in(guarded_page, guarded_server.api_token)
    expect(form).to_be_hidden()
    segment(guarded_page, section)
    await_result(guarded_page)
    expect(guarded_page.locator("#history-list img")).to_have_js_property("naturalWidth", 256)
    guarded_page.reload()
    await_result(guarded_page)
    guarded_page.get_by_role("button", name="Sign out").click()
    expect(form).to_be_visible()
    expect(guarded_page.locator("#history")).to_be_hidden()


def test_whose_sign_in_ended_meanwhile_is_asked_again_and_keeps_the_image(
    guarded_page: Page, guarded_server: Any, section: bytes
) -> None:
    sign_in(guarded_page, guarded_server.api_token)
    expect(guarded_page.locator("#sign-in")).to_be_hidden()
    drop(guarded_page, section)
    guarded_page.context.clear_cookies()
    guarded_page.get_by_role("button", name="Segment", exact=True).click()
    expect(guarded_page.locator("#sign-in")).to_be_visible(timeout=PATIENCE)
    sign_in(guarded_page, guarded_server.api_token)
    guarded_page.get_by_role("button", name="Segment", exact=True).click()
    await_result(guarded_page)


def test_another_site_cannot_upload_in_the_visitors_name(page: Page, server: str) -> None:
    stranger, elsewhere = page.context.new_page(), "http://localhost:9/"
    form = f"<form method=post enctype=multipart/form-data action={server}/api/v1/segment><button>Win</button></form>"
    stranger.route(elsewhere, lambda route: route.fulfill(body=form, content_type="text/html"))
    stranger.goto(elsewhere)
    with stranger.expect_navigation() as answer:
        stranger.get_by_role("button").click()
    assert answer.value.status == 403


def test_the_api_documentation_calls_with_a_token(guarded_page: Page, guarded_server: Any) -> None:
    guarded_page.goto(f"{guarded_server.address}/docs")
    guarded_page.get_by_role("button", name="Authorize").first.click()
    dialog = guarded_page.locator(".dialog-ux")
    dialog.get_by_label("auth-bearer-value").fill(guarded_server.api_token)
    dialog.get_by_role("button", name="Apply credentials").first.click()
    dialog.get_by_role("button", name="Close").first.click()
    studies = guarded_page.locator(".opblock", has_text="/api/v1/studies")
    studies.locator(".opblock-summary-control").click()
    studies.get_by_role("button", name="Try it out").click()
    studies.get_by_role("button", name="Execute").click()
    expect(studies.locator(".live-responses-table .response-col_status").last).to_contain_text("200")

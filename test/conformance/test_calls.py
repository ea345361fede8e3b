"""Every call of one upload's life, whichever version answers: segment, look, judge, list, delete."""

import json
from typing import Any

import golden
import numpy as np
import pytest
from server import Server, pixels

SIDE = 256


@pytest.fixture(scope="module")
def answer(server: Server, section: bytes) -> dict[str, Any]:
    """What `segment` says of a section."""
    given = server.upload(section, label="membrane")
    assert given.status_code == 200, given.text
    return given.json()


def test_segment_answers_the_members_of_the_interface(answer: dict[str, Any]) -> None:
    expected = {"id", "study", "screen", "arm", "version", "precision", "foreground_fraction", "timings_ms"}
    assert expected | {"mask_url", "overlay_url"} == set(answer)
    assert {"verdict", "score", "kind", "reason", "version"} == set(answer["screen"])


def test_the_mask_is_as_large_as_the_upload_and_has_two_values(server: Server, answer: dict[str, Any]) -> None:
    mask = server.picture(answer["mask_url"])
    assert mask.shape == (SIDE, SIDE)
    assert set(np.unique(mask)) == {0, 255}


def test_the_fraction_of_foreground_is_that_of_the_mask(server: Server, answer: dict[str, Any]) -> None:
    mask = server.picture(answer["mask_url"])
    assert float(np.mean(mask == 255)) == pytest.approx(answer["foreground_fraction"], abs=1e-6)


def test_the_stored_image_is_the_upload(server: Server, answer: dict[str, Any], section: bytes) -> None:
    np.testing.assert_array_equal(pixels(section), server.picture(f"/api/v1/requests/{answer['id']}/image.png"))


def test_the_overlay_tints_the_foreground_only(server: Server, answer: dict[str, Any]) -> None:
    overlay, mask = server.picture(answer["overlay_url"]), server.picture(answer["mask_url"])
    np.testing.assert_array_equal(mask == 255, overlay[..., 0] != overlay[..., 1])


def test_the_instances_number_more_than_one_cell(server: Server, answer: dict[str, Any]) -> None:
    cells = server.picture(f"/api/v1/requests/{answer['id']}/instances.tif")
    assert cells.shape == (SIDE, SIDE)
    assert set(np.unique(cells)) == set(range(1, int(cells.max()) + 1))
    assert cells.max() > 1


def test_a_caller_that_accepts_png_gets_the_mask_itself(server: Server, answer: dict[str, Any], section: bytes) -> None:
    png = server.upload(section, headers={"Accept": "image/png"})
    assert [200, "image/png"] == [png.status_code, png.headers["Content-Type"]]
    assert all(png.headers.get(name) for name in ("Bioseg-Id", "Bioseg-Arm", "Bioseg-Version"))
    assert pixels(png.content).shape == (SIDE, SIDE)


def test_a_picture_that_the_browser_has_is_not_sent_again(server: Server, answer: dict[str, Any]) -> None:
    tag = server.get(answer["mask_url"]).headers["ETag"]
    again = server.get(answer["mask_url"], headers={"If-None-Match": tag})
    assert [304, b""] == [again.status_code, again.content]


def test_the_record_has_the_answer_the_label_and_what_it_cost(server: Server, answer: dict[str, Any]) -> None:
    record = server.get(f"/api/v1/requests/{answer['id']}").json()
    shared = ("id", "study", "screen", "arm", "version", "precision", "foreground_fraction", "mask_url", "overlay_url")
    assert {name: answer[name] for name in shared} == {name: record[name] for name in shared}
    assert ["done", "membrane", SIDE, SIDE] == [record[name] for name in ("status", "label", "width", "height")]
    assert {"cpu_seconds", "cpu_percent", "memory_rss_mb", "latency_ms"} == set(record["resources"])


def test_the_history_shows_the_upload(server: Server, answer: dict[str, Any]) -> None:
    page = server.get("/api/v1/requests", params={"study": "membrane", "label": "membrane", "verdict": "accept"})
    assert answer["id"] in {record["id"] for record in page.json()["requests"]}


def test_feedback_is_kept(server: Server, answer: dict[str, Any]) -> None:
    address = f"/api/v1/requests/{answer['id']}"
    judged = {"label": "membrane", "mask_ok": True, "comment": "conformance"}
    assert server.call("POST", f"{address}/feedback", json=judged).status_code == 200
    assert judged.items() <= server.get(address).json()["feedback"].items()


def test_a_corrected_mask_is_kept(server: Server, answer: dict[str, Any]) -> None:
    mask = server.get(answer["mask_url"]).content
    given = server.call("POST", f"/api/v1/requests/{answer['id']}/feedback", files={"mask": mask})
    assert given.json()["feedback"]["corrected_mask"] is True


def test_a_stranger_sees_nothing_of_it(server: Server, answer: dict[str, Any]) -> None:
    assert server.stranger().get(answer["mask_url"]).status_code in {401, 404}


def test_a_repeated_call_with_the_same_key_gives_the_first_answer(server: Server, section: bytes) -> None:
    key = {"Idempotency-Key": "conformance-" + np.random.default_rng().bytes(16).hex()}
    first, second = server.upload(section, headers=key), server.upload(section, headers=key)
    assert first.json() == second.json()


def test_a_key_that_comes_with_another_image_is_refused(server: Server, section: bytes) -> None:
    key = {"Idempotency-Key": "conformance-" + np.random.default_rng().bytes(16).hex()}
    server.upload(section, headers=key)
    other = server.upload(golden.upload("odd.png"), headers=key)
    assert [422, "urn:bioseg:problem:idempotency-conflict"] == [other.status_code, other.json()["type"]]


def test_a_deleted_upload_is_gone(server: Server, section: bytes) -> None:
    answer = server.upload(section).json()
    record = f"/api/v1/requests/{answer['id']}"
    assert server.call("DELETE", record).status_code == 204
    assert [404, 404] == [server.get(path).status_code for path in (answer["mask_url"], record)]


def test_classify_answers_the_members_of_the_interface(server: Server, section: bytes) -> None:
    answer = server.upload(section, "classify", study="kinds").json()
    expected = {"id", "study", "screen", "arm", "version", "label", "probabilities", "timings_ms", "heatmap_url"}
    assert expected == set(answer)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_the_studies_name_their_versions(server: Server) -> None:
    studies = {study["name"]: study for study in server.get("/api/v1/studies").json()}
    assert {"membrane", "kinds"} <= set(studies)
    assert ["segmentation", "kinds"] == [studies["membrane"][name] for name in ("task", "screened_by")]
    assert all(study["champion"] in study["versions"] for study in (studies["membrane"], studies["kinds"]))


def test_it_is_alive_and_ready(server: Server) -> None:
    assert {"status": "ok"} == server.get("/livez").json()
    ready = server.get("/readyz")
    assert [200, "ok"] == [ready.status_code, ready.json()["status"]], ready.text


def test_it_documents_its_calls(server: Server) -> None:
    document = json.loads(server.get("/openapi.json").content)
    assert {"/api/v1/segment", "/api/v1/classify", "/api/v1/requests/{request_id}"} <= set(document["paths"])


def test_the_page_is_a_page_that_loads_from_nowhere_else(server: Server) -> None:
    page = server.get("/")
    assert [200, "text/html; charset=utf-8"] == [page.status_code, page.headers["Content-Type"]]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]

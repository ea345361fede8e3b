"""What each call of the API answers."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
import tifffile
from flask import Flask
from flask.testing import FlaskClient
from scipy import ndimage
from werkzeug.test import TestResponse

from bioseg import images, studies
from bioseg.decoding import formats

Post = Callable[..., TestResponse]
ANY = images.Limits(10**7, 10**7)


def pixels(client: FlaskClient, address: str) -> images.Image:
    return formats.decode(client.get(address).data, ANY)


def test_segment_answers_the_members_of_the_interface(upload: Post, section: bytes) -> None:
    answer = upload(section).json
    assert list(answer) == [
        *("id", "study", "screen", "arm", "version", "precision", "foreground_fraction", "timings_ms"),
        *("mask_url", "overlay_url"),
    ]
    assert list(answer["screen"]) == ["verdict", "score", "kind", "reason", "version"]


def test_segment_names_screen_arm_and_versions(upload: Post, section: bytes) -> None:
    answer = upload(section).json
    found = [answer["study"], answer["arm"], answer["version"], answer["precision"]]
    assert found == ["membrane", "champion", "1.2.3", "f32"]
    assert [answer["screen"][name] for name in ("verdict", "kind", "version")] == ["accept", "membrane EM", "4.5.6"]


def test_segment_times_each_stage(upload: Post, section: bytes) -> None:
    assert set(upload(section).json["timings_ms"]) == {"decode", "screen", "model", "encode", "total"}


def test_the_mask_has_the_size_of_the_upload_and_its_fraction_of_foreground(
    client: FlaskClient, upload: Post, section: bytes
) -> None:
    answer = upload(section).json
    mask = pixels(client, answer["mask_url"])
    assert mask.shape == (80, 96)
    assert set(np.unique(mask)) == {0, 255}
    assert answer["foreground_fraction"] == pytest.approx((mask == 255).mean())


def test_the_stored_image_is_the_upload(client: FlaskClient, upload: Post, section: bytes) -> None:
    stored = pixels(client, f"/api/v1/requests/{upload(section).json['id']}/image.png")
    np.testing.assert_array_equal(stored, formats.decode(section, ANY))


def test_the_overlay_tints_the_foreground_only(client: FlaskClient, upload: Post, section: bytes) -> None:
    answer = upload(section).json
    overlay, mask = pixels(client, answer["overlay_url"]), pixels(client, answer["mask_url"])
    np.testing.assert_array_equal(overlay[..., 0] != overlay[..., 1], mask == 255)


def test_the_probability_exceeds_half_where_the_mask_is(client: FlaskClient, upload: Post, section: bytes) -> None:
    base = f"/api/v1/requests/{upload(section).json['id']}"
    probability, mask = pixels(client, f"{base}/probability.png"), pixels(client, f"{base}/mask.png")
    assert probability[mask == 255].min() >= 127.5
    assert probability[mask == 0].max() <= 128


def test_the_instances_number_the_cells_of_the_mask(client: FlaskClient, upload: Post, section: bytes) -> None:
    record = client.get(f"/api/v1/requests/{upload(section).json['id']}").json
    answer = client.get(record["instances_url"])
    labels, mask = tifffile.imread(io.BytesIO(answer.data)), pixels(client, record["mask_url"])
    regions, count = ndimage.label(mask == 0)
    assert [answer.mimetype, labels.shape, labels.max()] == ["image/tiff", mask.shape, count]
    assert len(set(zip(labels[regions > 0].tolist(), regions[regions > 0].tolist(), strict=True))) == count > 1


def test_a_caller_that_accepts_png_gets_the_mask_itself(client: FlaskClient, upload: Post, section: bytes) -> None:
    answer = upload(section, headers={"Accept": "image/png"})
    assert answer.mimetype == "image/png"
    assert answer.data == client.get(f"/api/v1/requests/{answer.headers['Bioseg-Id']}/mask.png").data
    assert [answer.headers["Bioseg-Arm"], answer.headers["Bioseg-Version"]] == ["champion", "1.2.3"]


def test_a_browser_keeps_a_picture_until_it_changes(client: FlaskClient, upload: Post, section: bytes) -> None:
    address = upload(section).json["mask_url"]
    tag = client.get(address).headers["ETag"]
    assert client.get(address, headers={"If-None-Match": tag}).status_code == 304


def test_a_rejected_image_is_kept_and_shown_to_its_owner(client: FlaskClient, upload: Post, photo: bytes) -> None:
    problem = upload(photo).json
    record = client.get(problem["instance"]).json
    assert [record["id"], record["status"], record["mask_url"]] == [problem["id"], "refused", None]
    np.testing.assert_array_equal(pixels(client, record["image_url"]), formats.decode(photo, ANY))


def test_override_goes_on_when_the_screen_asks_and_is_recorded(
    client: FlaskClient, upload: Post, doubtful: bytes
) -> None:
    assert upload(doubtful).json["screen"]["verdict"] == "ask"
    answer = upload(doubtful, override="true")
    assert answer.status_code == 200
    assert client.get(f"/api/v1/requests/{answer.json['id']}").json["overridden"] is True


def test_override_does_not_help_a_rejected_image(upload: Post, photo: bytes) -> None:
    assert upload(photo, override="true").status_code == 422


@pytest.mark.parametrize(("sent", "stored"), [("membrane", "membrane"), ("other", "other"), ("", None)])
def test_the_users_own_label_is_kept(
    client: FlaskClient, upload: Post, section: bytes, sent: str, stored: str | None
) -> None:
    answer = upload(section, label=sent).json
    assert client.get(f"/api/v1/requests/{answer['id']}").json["label"] == stored


def test_classify_answers_label_and_probabilities(upload: Post, photo: bytes) -> None:
    answer = upload(photo, "classify", study="kinds").json
    assert list(answer) == [
        *("id", "study", "screen", "arm", "version", "label", "probabilities", "timings_ms", "heatmap_url"),
    ]
    assert [answer["label"], answer["screen"], answer["heatmap_url"]] == ["photo", None, None]
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_a_repeated_idempotency_key_gives_the_first_answer(client: FlaskClient, upload: Post, section: bytes) -> None:
    first, again = (upload(section, headers={"Idempotency-Key": "k1"}).json for _ in range(2))
    assert again == first
    assert len(client.get("/api/v1/requests").json["requests"]) == 1


def test_an_idempotency_key_belongs_to_the_cookie(app: Flask, section: bytes) -> None:
    headers = {"Idempotency-Key": "k1"}
    answers = [
        app.test_client().post("/api/v1/segment", data={"image": (io.BytesIO(section), "a.png")}, headers=headers)
        for _ in range(2)
    ]
    assert answers[0].json["id"] != answers[1].json["id"]


def test_a_record_shows_what_the_request_cost(client: FlaskClient, upload: Post, section: bytes) -> None:
    costs = client.get(f"/api/v1/requests/{upload(section).json['id']}").json["resources"]
    assert set(costs) == {"cpu_seconds", "cpu_percent", "memory_rss_mb", "latency_ms"}
    assert costs["memory_rss_mb"] > 1


def test_the_history_pages_newest_first(client: FlaskClient, upload: Post, section: bytes) -> None:
    made = [upload(section).json["id"] for _ in range(3)]
    page = client.get("/api/v1/requests?limit=2").json
    rest = client.get(f"/api/v1/requests?limit=2&cursor={page['next_cursor']}").json
    assert [record["id"] for record in page["requests"] + rest["requests"]] == made[::-1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("study=membrane", 2),
        ("study=kinds", 0),
        ("label=other", 1),
        ("verdict=reject", 1),
        ("since=2000-01-01T00:00:00Z", 2),
        ("since=9000-01-01T00:00:00Z", 0),
    ],
)
def test_the_history_is_filtered(
    client: FlaskClient, upload: Post, section: bytes, photo: bytes, query: str, found: int
) -> None:
    upload(section, label="other")
    upload(photo)
    assert len(client.get(f"/api/v1/requests?{query}").json["requests"]) == found


def test_nobody_else_sees_a_request(app: Flask, upload: Post, section: bytes) -> None:
    answer, stranger = upload(section).json, app.test_client()
    record = f"/api/v1/requests/{answer['id']}"
    answers = [
        *(stranger.get(path) for path in (record, answer["mask_url"], answer["overlay_url"])),
        stranger.delete(record),
        stranger.post(f"{record}/feedback", json={"mask_ok": True}),
    ]
    assert [each.status_code for each in answers] == [404] * 5
    assert stranger.get("/api/v1/requests").json["requests"] == []


def test_a_forged_cookie_is_a_stranger(app: Flask, upload: Post, section: bytes) -> None:
    answer, stranger = upload(section).json, app.test_client()
    stranger.set_cookie("bioseg", "eyJvd25lciI6Im1lIn0.aaaaaa.forged")
    assert stranger.get(f"/api/v1/requests/{answer['id']}").status_code == 404


def test_deleting_removes_the_pictures(client: FlaskClient, upload: Post, section: bytes) -> None:
    answer = upload(section).json
    record = f"/api/v1/requests/{answer['id']}"
    assert client.delete(record).status_code == 204
    assert [client.get(path).status_code for path in (record, answer["mask_url"])] == [404, 404]
    assert client.get("/api/v1/requests").json["requests"] == []


def test_feedback_is_kept_with_its_request(client: FlaskClient, upload: Post, section: bytes) -> None:
    record = f"/api/v1/requests/{upload(section).json['id']}"
    client.post(f"{record}/feedback", json={"mask_ok": False})
    client.post(f"{record}/feedback", json={"label": "membrane", "comment": "one gap"})
    given = client.get(record).json["feedback"]
    assert given.pop("at")
    assert given == {"label": "membrane", "mask_ok": False, "comment": "one gap", "corrected_mask": False}


def test_feedback_takes_a_corrected_mask(client: FlaskClient, upload: Post, section: bytes) -> None:
    record = f"/api/v1/requests/{upload(section).json['id']}"
    mask = images.encode_mask(np.zeros((80, 96), bool))
    answer = client.post(f"{record}/feedback", data={"mask": (io.BytesIO(mask), "m.png"), "mask_ok": "false"})
    assert [answer.json["feedback"][name] for name in ("corrected_mask", "mask_ok")] == [True, False]


def test_a_corrected_mask_of_another_size_is_refused(client: FlaskClient, upload: Post, section: bytes) -> None:
    record = f"/api/v1/requests/{upload(section).json['id']}"
    mask = images.encode_mask(np.zeros((8, 8), bool))
    assert client.post(f"{record}/feedback", data={"mask": (io.BytesIO(mask), "m.png")}).status_code == 400


def test_studies_are_listed_as_the_command_line_lists_them(client: FlaskClient) -> None:
    membrane = next(study for study in client.get("/api/v1/studies").json if study["name"] == "membrane")
    expected = {"task": "segmentation", "versions": ["1.2.3"], "champion": "1.2.3", "challenger": None}
    assert {name: membrane[name] for name in expected} == expected
    assert [membrane["screened_by"], membrane["accepts"]] == ["kinds", ["membrane EM"]]


def test_a_study_is_listed_with_its_notice_its_failures_and_the_licences(client: FlaskClient) -> None:
    known = studies.all_studies()
    for listed in client.get("/api/v1/studies").json:
        study = known[listed["name"]]
        assert [listed["notice"], listed["known_failures"]] == [study.notice, list(study.known_failures)]
        licences = {dataset["name"]: dataset["licence"] for dataset in listed["datasets"]}
        assert licences == {dataset.name: dataset.licence for dataset in study.datasets}


def test_a_result_does_not_depend_on_the_name_of_the_file(client: FlaskClient, section: bytes) -> None:
    masks = set()
    for name in ("a.png", "b.exe", "../../etc/passwd", ""):
        form = {"image": (io.BytesIO(section), name or "blob")}
        answer = client.post("/api/v1/segment", data=form).json
        masks.add(hashlib.sha256(client.get(answer["mask_url"]).data).hexdigest())
    assert len(masks) == 1

"""The pages, the probes and the documentation; and what protects the browser."""

import dataclasses
import json
import logging
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from pydantic import SecretStr
from sqlalchemy import select

import application
from application.json_lines import JsonLines
from application.pages import EXAMPLES
from bioseg import images, studies
from bioseg.bundles import Bundle
from bioseg.database.engine import reading
from bioseg.database.tables import RequestRecord
from bioseg.datasets import synthetic_other
from bioseg.decoding import formats
from bioseg.errors import SettingsError
from bioseg.inference import Predictor
from bioseg.platform import Platform, open_before_database, open_platform
from bioseg.registry.folder_registry import CHAMPIONS
from bioseg.settings import Settings
from bioseg.testing import stand_ins, twins

STATIC = Path(application.__file__).parent / "static"
PAGES = ["/", "/docs"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_holds_no_script_or_style_of_its_own(client: FlaskClient, path: str) -> None:
    page = client.get(path).text
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page) == []
    assert re.findall(r"<script[^>]*>\s*[^<\s]", page) == []


@pytest.mark.parametrize("path", PAGES)
def test_everything_that_a_page_names_is_served_here(client: FlaskClient, path: str) -> None:
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', client.get(path).text))
    expected = {address: 401 if address == "/operate" else 200 for address in named}
    assert {address: client.get(address).status_code for address in named} == expected


@pytest.mark.parametrize("path", [*PAGES, "/nothing", "/static/app.js", "/api/v1/studies"])
def test_every_answer_forbids_foreign_code_and_frames(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_gives_a_cookie_that_scripts_and_other_sites_cannot_use(client: FlaskClient) -> None:
    cookie = client.get("/").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_the_cookie_is_secure_over_https(client: FlaskClient) -> None:
    assert "Secure" in client.get("/", base_url="https://bioseg.example").headers["Set-Cookie"]


def test_a_visitor_keeps_the_cookie(client: FlaskClient) -> None:
    client.get("/")
    assert "Set-Cookie" not in client.get("/").headers


def test_without_a_key_of_its_own_an_installation_generates_one_and_keeps_it(
    make_platform: Callable[..., Platform],
) -> None:
    keys = [application.create_app(make_platform(secret_key="")).secret_key for _ in range(2)]
    assert keys[0] == keys[1]
    assert len(str(keys[0])) == 64


def test_a_database_that_keeps_no_secrets_needs_the_key_as_a_setting(platform: Platform) -> None:
    changes = {"database_url": "postgresql+psycopg://host/bioseg", "secret_key": SecretStr("")}
    settings = platform.settings.model_copy(update=changes)
    with pytest.raises(SettingsError, match="BIOSEG_SECRET_KEY"):
        application.create_app(dataclasses.replace(platform, settings=settings))


def test_each_request_leaves_one_line_in_the_log(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "application.traffic"):
        client.get("/livez?token=secret")
    (line,) = (json.loads(JsonLines().format(record)) for record in caplog.records)
    told = {name: line[name] for name in ("level", "message", "method", "path", "status")}
    assert told == {"level": "INFO", "message": "request", "method": "GET", "path": "/livez", "status": 200}
    assert (line["ms"] >= 0, len(line["id"])) == (True, 32)


def test_the_line_of_an_upload_has_the_id_of_its_record(upload, section: bytes, caplog) -> None:
    with caplog.at_level(logging.INFO, "application.traffic"):
        made = upload(section).json["id"]
        refused = upload(b"no image").json["id"]
    assert [record.fields["id"] for record in caplog.records] == [made, refused]


def test_the_browser_is_told_how_long_each_stage_took(upload, section: bytes) -> None:
    timings = upload(section).headers["Server-Timing"]
    stages = [each.split(";dur=")[0] for each in timings.split(", ")]
    assert stages == ["decode", "screen", "model", "encode", "total"]


def test_the_application_loads_no_framework() -> None:
    code = "import sys, application; print(*{'torch', 'keras', 'tensorflow', 'openvino', 'mlflow'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_the_page_asks_for_the_classes_of_the_study(client: FlaskClient) -> None:
    assert "[&#34;membrane&#34;, &#34;other&#34;]" in client.get("/").text


def test_the_examples_are_drawn() -> None:
    drawn = {
        "section-1.png": twins.membrane_section(9001, 384)[0],
        "section-2.png": twins.membrane_section(9002, 384)[0],
        "chart.png": synthetic_other.draw(150_004, 384),
    }
    assert {example.file for example in EXAMPLES} == set(drawn)
    for name, expected in drawn.items():
        stored = formats.decode((STATIC / "examples" / name).read_bytes(), images.Limits(10**6, 10**6))
        np.testing.assert_array_equal(stored, expected)


def test_livez_answers_without_a_model(make_platform: Callable[..., Platform], tmp_path: Path) -> None:
    client = application.create_app(make_platform(models_dir=tmp_path / "none")).test_client()
    assert [client.get("/livez").status_code, client.get("/livez").json] == [200, {"status": "ok"}]


def test_readyz_checks_the_database_and_each_model(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ok", "checks": dict.fromkeys(["database", *studies.all_studies()], "ok")}


def test_a_study_that_has_no_model_yet_keeps_nobody_from_the_others(
    client: FlaskClient, add_study: Callable[[str], None]
) -> None:
    add_study("import dataclasses, bioseg.studies.membrane as m\nSTUDY = dataclasses.replace(m.STUDY, name='new')")
    listed = [study["name"] for study in client.get("/api/v1/studies").json]
    assert ["new" in listed, client.get("/readyz").status_code] == [True, 200]


def test_readyz_is_red_when_a_model_is_damaged(
    make_platform: Callable[..., Platform], stand_in_models: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(stand_in_models, damaged)
    (damaged / "membrane/1.2.3/sample.npz").write_bytes(b"")
    answer = application.create_app(make_platform(models_dir=damaged)).test_client().get("/readyz")
    assert [answer.status_code, answer.json["checks"]["membrane"]] == [503, "failing"]
    assert str(tmp_path) not in answer.text


def test_readyz_is_red_when_a_network_that_serves_gives_something_else(stand_in_models: Path, tmp_path: Path) -> None:
    broke = threading.Event()

    def load(bundle: Bundle, threads: int) -> Predictor:
        predict = stand_ins.load(bundle, threads)
        return lambda batch: predict(batch) / 2 if broke.is_set() else predict(batch)

    settings = Settings.model_validate({"state_dir": tmp_path, "models_dir": stand_in_models})
    platform = open_platform(settings, load)
    platform.arms.champion("membrane")
    broke.set()
    answer = application.create_app(platform).test_client().get("/readyz")
    assert [answer.status_code, answer.json["checks"]["membrane"]] == [503, "failing"]


def test_readyz_is_red_until_the_tables_are_there(postgres_url: str, stand_in_models: Path, tmp_path: Path) -> None:
    chosen = {"state_dir": tmp_path, "models_dir": stand_in_models, "secret_key": "a key that only tests know"}
    platform = open_before_database(Settings.model_validate(chosen | {"database_url": postgres_url}))
    answer = application.create_app(platform).test_client().get("/readyz")
    assert [answer.status_code, answer.json["checks"]["database"]] == [503, "failing"]


def test_readyz_is_red_while_a_database_server_is_away(
    stand_in_models: Path, tmp_path: Path, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"postgresql://bioseg:hunter2@127.0.0.1:{free_port}/bioseg"
    chosen = {"state_dir": tmp_path, "models_dir": stand_in_models, "secret_key": "a key that only tests know"}
    platform = open_before_database(Settings.model_validate(chosen | {"database_url": url}))
    answer = application.create_app(platform).test_client().get("/readyz")
    assert [answer.status_code, answer.json["checks"]["database"]] == [503, "failing"]
    assert "hunter2" not in caplog.text


def test_readyz_leaves_no_record(client: FlaskClient, platform: Platform) -> None:
    client.get("/readyz")
    with reading(platform.sessions) as session:
        assert session.scalars(select(RequestRecord)).all() == []


@pytest.mark.parametrize("missing", ["membrane", "kinds"])
def test_readyz_is_red_when_the_lead_study_or_its_screen_has_no_champion(
    make_platform: Callable[..., Platform],
    stand_in_models: Path,
    tmp_path: Path,
    missing: str,
) -> None:
    models = tmp_path / "shipped"
    shutil.copytree(stand_in_models, models)
    champions = json.loads((models / CHAMPIONS).read_text())
    (models / CHAMPIONS).write_text(json.dumps({name: champions[name] for name in champions if name != missing}))
    answer = application.create_app(make_platform(models_dir=models)).test_client().get("/readyz")
    failing = [name for name, found in answer.json["checks"].items() if found != "ok"]
    assert [answer.status_code, failing] == [503, [missing]]


@pytest.mark.parametrize("call", ["segment", "classify"])
def test_the_api_description_tells_whose_an_idempotency_key_is(client: FlaskClient, call: str) -> None:
    parameters = client.get("/openapi.json").json["paths"][f"/api/v1/{call}"]["post"]["parameters"]
    (key,) = (parameter for parameter in parameters if parameter["name"] == "Idempotency-Key")
    assert "belongs to the owner of the cookie" in key["description"]


def test_the_api_description_does_not_count_the_commit_into_the_latency(client: FlaskClient) -> None:
    latency = client.get("/openapi.json").json["components"]["schemas"]["Resources"]["properties"]["latency_ms"]
    assert latency["description"] == "From arrival until the record is about to be written."


def test_the_api_description_is_valid(client: FlaskClient) -> None:
    validate(client.get("/openapi.json").json)


def test_every_call_of_the_api_is_described(app: Flask, client: FlaskClient) -> None:
    described = client.get("/openapi.json").json["paths"]
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/") or rule.endpoint.startswith("probes.")
    }
    assert routes == {(path, method) for path, operations in described.items() for method in operations}


def test_every_described_failure_is_a_problem_document(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").json["paths"]
    failures = {
        (path, status): list(answer["content"])
        for path, operations in paths.items()
        if path.startswith("/api/")
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status >= "400"
    }
    assert set(map(tuple, failures.values())) == {("application/problem+json",)}
    assert ("/api/v1/segment", "422") in failures

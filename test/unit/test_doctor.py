"""The doctor finds what is wrong, says what to do, and shows no secret."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bioseg = Callable[..., Any]


def findings(outcome: Any) -> dict[str, dict[str, object]]:
    return {finding["what"]: finding for finding in json.loads(outcome.out)}


def test_the_doctor_finds_a_whole_installation_well(bioseg: Bioseg) -> None:
    outcome = bioseg("doctor", "--json")
    found = findings(outcome)
    assert (0, []) == (outcome.code, [name for name, finding in found.items() if not finding["ok"]])
    assert ("tiny verified, reproduces its sample", "answers", "keeps what it is given") == tuple(
        found[name]["found"] for name in ("membrane champion", "database", "blobs")
    )


def test_the_doctor_names_what_to_do_without_a_champion(
    bioseg: Bioseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOSEG_MODELS_DIR", str(tmp_path))
    outcome = bioseg("doctor")
    assert 1 == outcome.code
    assert "FAIL membrane champion: none\n     train one: bioseg train membrane\n" in outcome.out


@pytest.mark.parametrize("file", ["membrane/tiny/model.onnx", "champions.json"])
def test_the_doctor_finds_a_damaged_bundle(
    bioseg: Bioseg, tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    models = shutil.copytree(tiny_models, tmp_path / "models")
    (models / file).write_bytes(b"{" + (models / file).read_bytes())
    monkeypatch.setenv("BIOSEG_MODELS_DIR", str(models))
    outcome = bioseg("doctor", "--json")
    finding = findings(outcome)["membrane champion"]
    assert (1, False) == (outcome.code, finding["ok"])
    assert Path(file).name in str(finding["found"])
    assert finding["remedy"]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("BIOSEG_STATE_DIR", "{file}", "stores"),
        ("BIOSEG_BLOBS", "folder:{file}", "blobs"),
        ("BIOSEG_BLOBS", "nonsense:", "stores"),
        ("BIOSEG_DATABASE_URL", "postgresql://127.0.0.1:{port}/none", "stores"),
        ("BIOSEG_MLFLOW_URI", "http://127.0.0.1:nonsense", "MLflow"),
    ],
)
def test_the_doctor_finds_a_store_that_does_not_work(
    bioseg: Bioseg, section: Path, monkeypatch: pytest.MonkeyPatch, free_port: int, name: str, value: str, what: str
) -> None:
    monkeypatch.setenv(name, value.format(file=section, port=free_port))
    outcome = bioseg("doctor", "--json")
    assert (1, [what]) == (outcome.code, [each for each, finding in findings(outcome).items() if not finding["ok"]])
    assert findings(outcome)[what]["remedy"]


def test_the_doctor_lets_a_tracking_server_be_down(bioseg: Bioseg, free_port: int) -> None:
    tracking = findings(bioseg("doctor", "--json"))["MLflow"]
    assert (True, True) == (tracking["ok"], f":{free_port} does not answer" in str(tracking["found"]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BIOSEG_SECRET_KEY", "hunter2"),
        ("BIOSEG_DATABASE_URL", "postgresql://user:hunter2@127.0.0.1:{port}/none"),
        ("BIOSEG_DATABASE_URL", "postgresql://user:my/hunter2:word@127.0.0.1:{port}/none"),
        ("BIOSEG_DATABASE_URL", "postgresql://127.0.0.1:{port}/none?user=user&password=hunter2&connect_timeout=2"),
        ("BIOSEG_MLFLOW_URI", "http://user:hunter2@127.0.0.1:{port}"),
        ("BIOSEG_MLFLOW_URI", "http://user:hunter2@127.0.0.1:nonsense"),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_doctor_masks_secrets(
    bioseg: Bioseg, monkeypatch: pytest.MonkeyPatch, free_port: int, name: str, value: str, form: tuple[str, ...]
) -> None:
    monkeypatch.setenv(name, value.format(port=free_port))
    outcome = bioseg("doctor", *form)
    assert name in outcome.out
    assert "hunter2" not in outcome.out + outcome.err


def test_the_doctor_shows_every_setting_with_its_value(bioseg: Bioseg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSEG_QUEUE", "17")
    found = findings(bioseg("doctor", "--json"))
    assert str(found["BIOSEG_QUEUE"]["found"]).startswith("17 - ")
    assert str(found["BIOSEG_DATA_DIR"]["found"]).startswith("(empty) - ")

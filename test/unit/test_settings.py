"""Settings come from the environment, and one that cannot be used is named."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from bioseg import settings
from bioseg.errors import SettingsError


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting in the environment."""
    for name in os.environ:
        if name.upper().startswith("BIOSEG_"):
            monkeypatch.delenv(name)


def test_everything_has_a_default() -> None:
    loaded = settings.load()
    expected = (None, Path("var"), Path("data/models"), "openvino", 64, 1)
    assert expected == (
        loaded.data_dir,
        loaded.state_dir,
        loaded.models_dir,
        loaded.runtime,
        loaded.max_upload_mb,
        loaded.queue,
    )


def test_there_is_no_default_secret() -> None:
    assert "" == settings.load().secret_key.get_secret_value()


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSEG_DATA_DIR", "/images")
    monkeypatch.setenv("BIOSEG_SYNC_SECONDS", "0.25")
    assert (Path("/images"), 0.25) == (settings.load().data_dir, settings.load().sync_seconds)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSEG_QUEUE", "")
    monkeypatch.setenv("BIOSEG_DATA_DIR", "")
    assert (1, None) == (settings.load().queue, settings.load().data_dir)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BIOSEG_RUNTIME", "tensorflow"),
        ("BIOSEG_MLFLOW_PORT", "0"),
        ("BIOSEG_MLFLOW_PORT", "65536"),
        ("BIOSEG_MAX_UPLOAD_MB", "0"),
        ("BIOSEG_MAX_PIXELS", "many"),
        ("BIOSEG_SYNC_SECONDS", "0"),
        ("BIOSEG_THREADS", "-1"),
        ("BIOSEG_QUEUE", "-1"),
    ],
)
def test_an_unusable_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        settings.load()


def test_all_unusable_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSEG_RUNTIME", "tensorflow")
    monkeypatch.setenv("BIOSEG_QUEUE", "-1")
    with pytest.raises(SettingsError, match=r"BIOSEG_RUNTIME: .*; BIOSEG_QUEUE: "):
        settings.load()


def test_the_stores_lie_in_the_state_folder_unless_named(tmp_path: Path) -> None:
    loaded = settings.Settings(state_dir=tmp_path)
    expected = (f"sqlite:///{tmp_path}/bioseg.db", f"folder:{tmp_path}/blobs", "http://127.0.0.1:5000")
    assert expected == (loaded.resolved_database_url, loaded.resolved_blobs, loaded.tracking_uri)


def test_named_stores_are_taken_as_they_are() -> None:
    named = ("postgresql://host/name", "folder:/blobs", "https://tracking.example")
    loaded = settings.Settings(database_url=named[0], blobs=named[1], mlflow_uri=named[2])
    assert named == (loaded.resolved_database_url, loaded.resolved_blobs, loaded.tracking_uri)


def test_a_relative_state_folder_holds_for_processes_that_run_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"sqlite:///{tmp_path}/var/bioseg.db" == settings.load().resolved_database_url


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        settings.load().queue = 5  # type: ignore[misc]


def test_the_secret_is_not_shown_by_accident() -> None:
    assert "hunter2" not in repr(settings.Settings.model_validate({"secret_key": "hunter2"}))


def test_a_child_process_gets_this_environment_with_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSEG_QUEUE", "7")
    monkeypatch.setenv("BIOSEG_THREADS", "2")
    child = settings.child_environment(BIOSEG_THREADS="1")
    assert {**os.environ, "BIOSEG_THREADS": "1"} == child
    assert "2" == os.environ["BIOSEG_THREADS"]

"""What keeps an installation from being started, and how it is told."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bioseg import preflight
from bioseg.errors import CannotStart, SettingsError
from bioseg.settings import Settings

KEY = "a key that only tests know"
NOWHERE = "postgresql://bioseg:hunter2@127.0.0.1:1/bioseg"


def settings(folder: Path, **chosen: str) -> Settings:
    return Settings.model_validate({"state_dir": folder / "state", "secret_key": KEY} | chosen)


def test_the_defaults_will_do(tmp_path: Path) -> None:
    preflight.check(settings(tmp_path))


def test_a_database_server_need_not_be_up(tmp_path: Path) -> None:
    preflight.check(settings(tmp_path, database_url=NOWHERE))


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"database_url": "nonsense"}, "BIOSEG_DATABASE_URL is no URL"),
        ({"database_url": "mysql://bioseg:hunter2@host/bioseg"}, "BIOSEG_DATABASE_URL names 'mysql'"),
        ({"database_url": NOWHERE, "secret_key": ""}, "BIOSEG_SECRET_KEY is empty"),
        ({"secret_key": "hunter2"}, "BIOSEG_SECRET_KEY has 7 characters"),
        ({"blobs": "nonsense"}, "BIOSEG_BLOBS is 'nonsense'"),
        ({"blobs_mirror": "nonsense"}, "BIOSEG_BLOBS_MIRROR is 'nonsense'"),
        ({"mlflow_uri": "http://mlflow:port"}, "BIOSEG_MLFLOW_URI"),
        ({"models_dir": "/nonexistent/models"}, "BIOSEG_MODELS_DIR: /nonexistent/models is no folder"),
        ({"rate_limit": "often"}, "BIOSEG_RATE_LIMIT"),
    ],
)
def test_an_unusable_setting_is_named(tmp_path: Path, chosen: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as raised:
        preflight.check(settings(tmp_path, **chosen))
    assert "hunter2" not in str(raised.value)


def test_a_state_folder_that_cannot_be_written_is_named_with_who_has_to_own_it(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"no folder")
    with pytest.raises(CannotStart, match=f"BIOSEG_STATE_DIR: {tmp_path}/state cannot be written.* id {os.getuid()}"):
        preflight.check(settings(tmp_path))


def test_a_state_folder_is_left_as_it_was(tmp_path: Path) -> None:
    preflight.check(settings(tmp_path))
    assert [] == list((tmp_path / "state").iterdir())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_free_address_will_do_before_and_after(host: str, free_port: int) -> None:
    preflight.require_free(host, free_port, "")
    socket.create_server((host, free_port)).close()


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"cannot listen on 127.0.0.1:{port}: Address already in use; move away"):
            preflight.require_free("127.0.0.1", port, "move away")


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(CannotStart, match=r"cannot listen on 192\.0\.2\.1:8000: Cannot assign"):
        preflight.require_free("192.0.2.1", 8000, "")


class TestServe:
    def test_says_in_one_line_that_its_port_is_taken(self, bioseg: Callable[..., Any]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            reason = bioseg("serve", "--port", port).failure
        assert reason.startswith(
            f"bioseg: cannot listen on 127.0.0.1:{port}: Address already in use; stop what listens"
        )

    def test_says_in_one_line_that_the_port_of_mlflow_is_taken(
        self, bioseg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, free_port: int
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            monkeypatch.setenv("BIOSEG_MLFLOW_PORT", str(taken.getsockname()[1]))
            assert "BIOSEG_MLFLOW_PORT" in bioseg("serve", "--port", free_port).failure

    @pytest.mark.parametrize("command", ["serve", "worker"])
    def test_says_in_one_line_that_its_folder_cannot_be_written(
        self, bioseg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, command: str
    ) -> None:
        monkeypatch.setenv("BIOSEG_STATE_DIR", "/proc/none")
        assert bioseg(command).failure.startswith("bioseg: BIOSEG_STATE_DIR: /proc/none cannot be written")

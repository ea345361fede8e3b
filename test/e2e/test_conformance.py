"""The conformance suite against a server of this machine, and that it notices what it is there to notice."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from bioseg.testing import running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
SUITE = ROOT / "test" / "conformance"
TOKEN = "token-of-those-who-may-call"


def conform(suite: Path, address: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", suite, "--base-url", address, "--shipped-champions", *options]
    return subprocess.run(command, cwd=suite, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        "BIOSEG_STATE_DIR": str(tmp_path_factory.mktemp("state")),
        "BIOSEG_MODELS_DIR": str(ROOT / "data" / "models"),
    }


@pytest.fixture(scope="module")
def address(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running.web(2, environment, tmp_path_factory.mktemp("log") / "log") as started:
        yield started


def test_a_server_with_the_shipped_champions_conforms(address: str) -> None:
    done = conform(SUITE, address)
    assert done.returncode == 0, done.stdout


def test_a_server_that_wants_a_token_conforms(environment: dict[str, str], tmp_path: Path) -> None:
    with running.web(2, environment | {"BIOSEG_API_TOKEN": TOKEN}, tmp_path / "log") as address:
        done = conform(SUITE, address, "--api-token", TOKEN)
    assert done.returncode == 0, done.stdout


def test_the_frameworks_that_the_champions_were_fitted_in_conform(environment: dict[str, str], tmp_path: Path) -> None:
    with running.web(1, environment | {"BIOSEG_RUNTIME": "reference"}, tmp_path / "log") as address:
        done = conform(SUITE, address, "--latency-ms", "60000")
    assert done.returncode == 0, done.stdout


def test_one_wrong_pixel_is_noticed(address: str, tmp_path: Path) -> None:
    suite = Path(shutil.copytree(SUITE, tmp_path / "suite"))
    mask = suite / "golden" / "section.mask.png"
    with Image.open(mask) as image:
        image.load()
    image.putpixel((3, 3), 255 - image.getpixel((3, 3)))
    image.save(mask)
    done = conform(suite, address, "test_golden.py")
    assert "test_the_mask_is_the_golden_one[section.png]" in done.stdout.partition("short test summary")[2]


def test_a_version_without_golden_answers_is_passed_over_or_refused(address: str, tmp_path: Path) -> None:
    suite = Path(shutil.copytree(SUITE, tmp_path / "suite"))
    answers = suite / "golden" / "answers.json"
    answers.write_text(answers.read_text().replace("2026.11.26", "1.0.0"))
    command = [sys.executable, "-m", "pytest", suite / "test_golden.py", "--base-url", address]
    relaxed = subprocess.run(command, cwd=suite, capture_output=True, text=True, check=False)
    assert [0, 1] == [relaxed.returncode, conform(suite, address, "test_golden.py").returncode]


def test_without_an_address_it_says_so() -> None:
    done = subprocess.run([sys.executable, "-m", "pytest", SUITE], env={}, capture_output=True, text=True, check=False)
    assert "name the server" in done.stderr


def test_a_server_that_does_not_answer_is_told_once(free_port: int) -> None:
    done = conform(SUITE, f"http://127.0.0.1:{free_port}", "--patience", "0.1")
    assert done.returncode == 1
    assert 1 == done.stdout.count("is not ready")

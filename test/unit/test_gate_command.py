"""`bioseg gate` from the command line to the database, on small real bundles and on the real sections."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import sessionmaker

from bioseg import bundles
from bioseg.database import engine, gate_reports
from bioseg.registry.folder_registry import CHAMPIONS
from bioseg.testing import twins
from bioseg.testing.bundles import as_version

Bioseg = Callable[..., Any]

ROOT = Path(__file__).parents[2]
STRICT, STRANGE = "strict", "strange"


@pytest.fixture(scope="session")
def real_data() -> str:
    """The real images; before `bioseg` clears the environment."""
    return os.environ["BIOSEG_DATA_DIR"]


@pytest.fixture
def trained(tmp_path: Path, bioseg: Bioseg) -> Path:
    """The folder of the trained bundles."""
    return tmp_path / "state" / "models"


@pytest.fixture
def sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bioseg: Bioseg) -> Path:
    """A data directory with the twin of ISBI 2012, sections of four squares to cut."""
    twins.isbi2012(tmp_path / "sections", challenge=1, side=384)
    monkeypatch.setenv("BIOSEG_DATA_DIR", str(tmp_path / "sections"))
    return tmp_path / "sections"


def crowned(trained: Path, version: str) -> None:
    """Make a trained version the champion."""
    (trained / CHAMPIONS).write_text(json.dumps({"membrane": version}))


def kept(state: Path, champion: str, candidate: str) -> str | None:
    """Verdict that the database keeps."""
    connected = engine.connect(f"sqlite:///{state / 'bioseg.db'}")
    with sessionmaker(connected)() as session:
        row = gate_reports.latest(session, "membrane", champion, candidate)
        verdict = None if row is None else row.verdict
    connected.dispose()
    return verdict


def test_a_better_version_is_promoted_with_0(bioseg, sections, tiny_models, trained):
    as_version(tiny_models / "membrane/tiny", STRICT, trained, threshold=0.98)
    crowned(trained, STRICT)
    outcome = bioseg("gate", "membrane", "--candidate", "tiny")
    assert (0, "promote") == (outcome.code, kept(trained.parent, STRICT, "tiny")), outcome


@pytest.mark.usefixtures("few_pairs")
def test_a_worse_version_is_rolled_back_with_4(bioseg, sections, tiny_models, trained):
    as_version(tiny_models / "membrane/tiny", STRICT, trained, threshold=0.98)
    outcome = bioseg("gate", "membrane", "--candidate", STRICT, "--json")
    found = json.loads(outcome.out)
    assert (4, "rollback", "tiny", 5) == (
        outcome.code,
        found["verdict"],
        found["champion"]["version"],
        found["quality"]["clusters"],
    )


@pytest.mark.usefixtures("few_pairs")
def test_the_champion_itself_is_inconclusive_with_3(bioseg, sections, tmp_path):
    outcome = bioseg("gate", "membrane", "--candidate", "tiny", "--html", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (3, True) == (outcome.code, "Inconclusive: the champion stays" in page)
    assert ("100% measured", True) == (outcome.err.splitlines()[9][-13:], outcome.out.startswith("inconclusive: "))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("gate membrane", "Missing option '--candidate'"),
        ("gate nonsense --candidate tiny", "no study 'nonsense'"),
        ("gate membrane --candidate nonsense", "no version 'nonsense'; there are: tiny"),
        ("gate membrane --candidate tiny", "BIOSEG_DATA_DIR is not set"),
    ],
)
def test_wrong_use_ends_with_2(bioseg, arguments, reason):
    outcome = bioseg(*arguments.split())
    assert 2 == outcome.code
    assert reason in outcome.err


def test_a_study_without_champion_has_nothing_to_compare_with(bioseg, data, tiny_models, tmp_path, monkeypatch):
    shutil.copytree(tiny_models / "membrane", tmp_path / "models/membrane")
    monkeypatch.setenv("BIOSEG_MODELS_DIR", str(tmp_path / "models"))
    outcome = bioseg("gate", "membrane", "--candidate", "tiny")
    assert (2, "bioseg: membrane has no champion; train a version and promote it\n") == (outcome.code, outcome.err)


def test_no_held_out_images_are_a_failure_that_says_what_to_do(bioseg, tmp_path, monkeypatch):
    twins.isbi2012(tmp_path / "few", sections=20)
    monkeypatch.setenv("BIOSEG_DATA_DIR", str(tmp_path / "few"))
    assert "`bioseg data fetch` brings them" in bioseg("gate", "membrane", "--candidate", "tiny").failure


def test_no_dataset_is_a_failure_that_says_what_to_do(bioseg, tmp_path, monkeypatch):
    monkeypatch.setenv("BIOSEG_DATA_DIR", str(tmp_path))
    assert "`bioseg data fetch NAME`" in bioseg("gate", "membrane", "--candidate", "tiny").failure


def test_a_damaged_candidate_is_a_failure(bioseg, data, tiny_models, trained):
    bundle = as_version(tiny_models / "membrane/tiny", STRANGE, trained)
    (bundle.path / bundles.CARD).write_text("better")
    assert "was altered" in bioseg("gate", "membrane", "--candidate", STRANGE).failure


@pytest.mark.realdata
@pytest.mark.skipif("BIOSEG_DATA_DIR" not in os.environ, reason="BIOSEG_DATA_DIR is not set")
class TestOnRealSections:
    @pytest.fixture
    def shipped(self, real_data, bioseg, few_pairs, monkeypatch):
        """`bioseg` on the shipped bundles and the real images."""
        monkeypatch.setenv("BIOSEG_MODELS_DIR", str(ROOT / "data/models"))
        monkeypatch.setenv("BIOSEG_DATA_DIR", real_data)
        monkeypatch.setenv("BIOSEG_THREADS", "2")
        return bioseg

    def test_the_shipped_champion_against_itself_is_inconclusive(self, shipped):
        champion = json.loads((ROOT / "data/models" / CHAMPIONS).read_text())["membrane"]
        assert 3 == shipped("gate", "membrane", "--candidate", champion).code

    def test_a_network_that_saw_drawings_only_is_rolled_back(self, shipped, tiny_models, trained):
        as_version(tiny_models / "membrane/tiny", "tiny", trained)
        assert 4 == shipped("gate", "membrane", "--candidate", "tiny").code

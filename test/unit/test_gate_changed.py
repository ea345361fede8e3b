"""`bioseg gate-changed`: what a change of the repository puts to the gate, on bundles in a repository of their own."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bioseg.errors import BundleError, InvalidInput
from bioseg.gate import changed
from bioseg.registry.folder_registry import CHAMPIONS
from bioseg.testing import bundles as tiny
from bioseg.testing import stand_ins, twins

SHIPPED, NEWER = stand_ins.MEMBRANE.version, "newer"

Commit = Callable[[], str]


def committing(repository: Path) -> Commit:
    """Commits everything in a folder; gives the commit."""

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
        command = ["git", "-C", str(repository), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit() -> str:
        git("add", "--all")
        git("commit", "--quiet", "--message", "change")
        return git("rev-parse", "HEAD")

    git("init", "--quiet")
    return commit


@pytest.fixture
def nothing() -> str:
    """What git calls a tree without files."""
    command = ["git", "hash-object", "-t", "tree", "/dev/null"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Stand-in bundles in a folder of a repository."""
    folder = tmp_path / "repository/data/models"
    folder.mkdir(parents=True)
    return stand_ins.write(folder)


@pytest.fixture
def commit(models: Path) -> Commit:
    return committing(models.parents[1])


def crowned(models: Path, version: str) -> None:
    """Name a version of `membrane` the champion."""
    named = json.loads((models / CHAMPIONS).read_text())
    (models / CHAMPIONS).write_text(json.dumps({**named, "membrane": version}))


def test_nothing_changed_leaves_no_candidate(models, commit):
    base = commit()
    (models.parent / "README.md").write_text("about the bundles")
    commit()
    assert () == changed.since(base, models).candidates


def test_a_folder_that_the_base_lacks_is_a_candidate(models, commit):
    base = commit()
    stand_ins.challenger(models, NEWER)
    commit()
    assert (("membrane", NEWER),) == changed.since(base, models).candidates


def test_the_champion_is_the_one_that_the_base_names(models, commit):
    base = commit()
    crowned(models, stand_ins.challenger(models, NEWER))
    commit()
    assert SHIPPED == changed.since(base, models).champions["membrane"]


def test_against_nothing_everything_is_new_and_no_version_a_champion(models, commit, nothing):
    commit()
    everything = json.loads((models / CHAMPIONS).read_text()).items()
    assert (tuple(sorted(everything)), {}) == changed.since(nothing, models)


@pytest.mark.parametrize("change", ["altered", "added", "removed"])
def test_a_version_that_the_base_has_never_changes(models, commit, change):
    base = commit()
    folder = models / "membrane" / SHIPPED
    if change == "removed":
        (folder / "sample.npz").unlink()
    else:
        (folder / {"altered": "sample.npz", "added": "more.txt"}[change]).write_text("another")
    commit()
    with pytest.raises(BundleError, match="never changes; bring the change as a version of its own"):
        changed.since(base, models)


def test_a_version_may_go_as_a_whole(models, commit):
    base = commit()
    stand_ins.challenger(models, NEWER)
    shutil.rmtree(models / "kinds")
    commit()
    assert (("membrane", NEWER),) == changed.since(base, models).candidates


def test_champions_that_cannot_be_read_are_named_with_their_commit(models, commit):
    (models / CHAMPIONS).write_text("[]")
    base = commit()
    with pytest.raises(BundleError, match=f"champions.json at {base} must map studies to versions"):
        changed.since(base, models)


def test_a_commit_that_git_does_not_know_is_wrong_use(models, commit):
    commit()
    with pytest.raises(InvalidInput, match="name a commit of this repository"):
        changed.since("0" * 40, models)


class TestCommand:
    """On networks that run, and on drawn sections."""

    @pytest.fixture
    def shipped(self, tmp_path, bioseg, few_pairs, tiny_models, monkeypatch):
        folder = tmp_path / "repository/data/models"
        shutil.copytree(tiny_models, folder)
        monkeypatch.setenv("BIOSEG_MODELS_DIR", str(folder))
        twins.isbi2012(tmp_path / "sections", challenge=1, side=384)
        monkeypatch.setenv("BIOSEG_DATA_DIR", str(tmp_path / "sections"))
        return folder

    def test_a_worse_version_that_is_named_champion_already_is_rolled_back(self, bioseg, shipped):
        base = committing(shipped.parents[1])()
        tiny.as_version(shipped / "membrane" / tiny.VERSION, "strict", threshold=0.98)
        crowned(shipped, "strict")
        outcome = bioseg("gate-changed", base, "--json")
        found = json.loads(outcome.out)
        sides = [(report["champion"]["version"], report["candidate"]["version"]) for report in found["reports"]]
        assert (4, "rollback", [(tiny.VERSION, "strict")]) == (outcome.code, found["verdict"], sides)
        assert "membrane strict: rollback: " in outcome.err

    def test_no_new_version_passes_and_says_so(self, bioseg, shipped):
        outcome = bioseg("gate-changed", committing(shipped.parents[1])())
        assert (0, "none\n") == (outcome.code, outcome.out)
        assert "nothing to compare" in outcome.err

    def test_the_first_version_of_a_study_passes_and_says_so(self, bioseg, shipped, nothing):
        committing(shipped.parents[1])()
        outcome = bioseg("gate-changed", nothing)
        assert (0, "none\n") == (outcome.code, outcome.out)
        assert f"membrane {tiny.VERSION}: no champion at {nothing} to compare with" in outcome.err

    def test_no_data_is_a_failure(self, bioseg, shipped, tmp_path, monkeypatch):
        base = committing(shipped.parents[1])()
        tiny.as_version(shipped / "membrane" / tiny.VERSION, "strict")
        monkeypatch.setenv("BIOSEG_DATA_DIR", str(tmp_path / "nowhere"))
        assert "`bioseg data fetch" in bioseg("gate-changed", base).failure

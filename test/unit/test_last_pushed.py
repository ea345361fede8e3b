"""`deploy/last-pushed`: the commit that the gate compares with, given a history and what a registry answers."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy/last-pushed"
NOBODY = "0" * 40

LastPushed = Callable[..., "subprocess.CompletedProcess[str]"]


def git(repository: Path, *arguments: str) -> str:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    command = ["git", "-C", str(repository), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of four commits."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for number in range(4):
        git(folder, "commit", "--quiet", "--allow-empty", "--message", str(number))
    return folder


@pytest.fixture
def last_pushed(tmp_path: Path, repository: Path) -> LastPushed:
    """Runs the script where the registry has the images of some commits, or does not answer for a reason."""

    def run(*pushed: str, before: str, otherwise: str = "manifest unknown") -> "subprocess.CompletedProcess[str]":
        programs = tmp_path / "programs"
        programs.mkdir()
        known = "|".join(f"*:{commit}" for commit in pushed) or "none"
        (programs / "docker").write_text(
            f'#!/bin/sh\ncase "$3" in {known}) ;; *) echo "{otherwise}" >&2; exit 1 ;; esac\n'
        )
        (programs / "docker").chmod(0o755)
        return subprocess.run(
            [SCRIPT, "registry/bioseg-application", before],
            cwd=repository,
            env={"PATH": f"{programs}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_it_is_the_newest_commit_in_front_whose_image_was_pushed(repository, last_pushed):
    older, newer = (git(repository, "rev-parse", name) for name in ("HEAD~3", "HEAD~2"))
    assert newer == last_pushed(older, newer, before=git(repository, "rev-parse", "HEAD^")).stdout.strip()


def test_the_image_of_this_commit_does_not_count(repository, last_pushed):
    head, before = (git(repository, "rev-parse", name) for name in ("HEAD", "HEAD^"))
    assert before == last_pushed(head, before=before).stdout.strip()


def test_where_nothing_was_pushed_it_is_the_commit_before(repository, last_pushed):
    before = git(repository, "rev-parse", "HEAD~2")
    assert before == last_pushed(before=before).stdout.strip()


def test_before_the_first_push_it_is_a_tree_without_files(repository, last_pushed):
    assert git(repository, "hash-object", "-t", "tree", "/dev/null") == last_pushed(before=NOBODY).stdout.strip()


def test_a_registry_that_does_not_answer_is_a_failure(last_pushed):
    ended = last_pushed(before=NOBODY, otherwise="connection refused")
    assert (1, "") == (ended.returncode, ended.stdout)
    assert "connection refused" in ended.stderr

"""Shipped versions that a commit lacks, and the champions there: what a change of the repository puts to the gate."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bioseg.bundles import MANIFEST
from bioseg.errors import BundleError, InvalidInput
from bioseg.registry.folder_registry import CHAMPIONS, champions


class Changes(NamedTuple):
    """Studies and versions that are new, by name; and the version that served each study before."""

    candidates: tuple[tuple[str, str], ...]
    champions: Mapping[str, str]


def since(base: str, models_dir: Path) -> Changes:
    """Compare the folder of the shipped bundles with what it was at a commit, or in another tree that git knows.

    The champions are those of `base`: a change that names its own candidate would compare it with itself.

    Raises
    ------
    InvalidInput
        When git has no `base`, or the folder lies in no repository.
    BundleError
        When a file of a version that `base` has differs: a version never changes. It may be gone as a whole.
    """
    before = _git(models_dir, "ls-tree", "-r", "-z", "--name-only", base, ".")
    known = {tuple(file.split("/")[:2]) for file in before if file.count("/") > 1}
    touched = _git(models_dir, "diff", "--no-renames", "--relative", "-z", "--name-only", base, "--", ".")
    altered = {tuple(file.split("/")[:2]): file for file in touched}
    for version in sorted(known & altered.keys()):
        if models_dir.joinpath(*version).exists():
            raise BundleError(
                f"{models_dir / altered[version]} is not what it is at {base}, and a version never changes; "
                "bring the change as a version of its own"
            )
    present = {(file.parts[-3], file.parts[-2]) for file in models_dir.glob(f"*/*/{MANIFEST}")}
    return Changes(tuple(sorted(present - known)), _champions(base, models_dir) if CHAMPIONS in before else {})


def _champions(base: str, models_dir: Path) -> dict[str, str]:
    (text,) = _git(models_dir, "show", f"{base}:./{CHAMPIONS}")
    return champions(text.encode(), f"{CHAMPIONS} at {base}")


def _git(folder: Path, *arguments: str) -> list[str]:
    """What git says, cut where it puts a NUL."""
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  git, on our own folder
    if done.returncode:
        raise InvalidInput(f"git {arguments[0]} in {folder}: {done.stderr.strip()}; name a commit of this repository")
    return done.stdout.rstrip("\0").split("\0")

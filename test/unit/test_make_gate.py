"""`make gate-changed`: what a pipeline learns of a verdict, from a `bioseg` that ends as it is told."""

import os
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
INSTALLED = ("bin/pip", "bin/bioseg", "everything")
ASKED = ("pyproject.toml", *(f"requirements/{lock}.txt" for lock in ("everything", "torch-cpu", "cuda")))


@pytest.mark.parametrize(
    ("exit_code", "passes"),
    [(0, True), (3, True), (4, False), (1, False)],
    ids=["promote", "hold", "rollback", "failure"],
)
def test_only_a_version_that_is_worse_or_could_not_be_judged_fails(tmp_path, exit_code, passes):
    for number, name in enumerate((*ASKED, *(f"venv/{name}" for name in INSTALLED))):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'#!/bin/sh\n[ "$1" != gate-changed ] || {{ echo verdict; exit {exit_code}; }}\n')
        file.chmod(0o755)
        os.utime(file, (number, number))
    make = ["make", "--file", MAKEFILE, "--directory", tmp_path, "VENV=venv", "SINCE=HEAD", "gate-changed"]
    ended = subprocess.run(make, capture_output=True, text=True, check=False)
    assert (passes, "verdict\n") == (ended.returncode == 0, (tmp_path / ".build/gate.json").read_text()), ended

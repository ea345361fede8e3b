"""Every command as a script meets it: help, wrong use, failures in one line."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from bioseg.cli import cli

Bioseg = Callable[..., Any]
SILENT = {"serve", "worker", "segment", "train", "publish", "promote", "rollback", "unfreeze", "rollout"}


def commands(group: click.Group = cli, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_explains_itself(bioseg: Bioseg, name: str) -> None:
    outcome = bioseg(*name.split(), "--help")
    assert (0, f"Usage: bioseg {name}") == (outcome.code, outcome.out[: len(f"Usage: bioseg {name}")])


def test_every_command_that_reports_reports_as_json() -> None:
    reporting = {name for name, command in commands() if any("--json" in option.opts for option in command.params)}
    assert {name for name, _ in commands()} - SILENT == reporting


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("nonsense", "No such command"),
        ("studies --nonsense", "No such option"),
        ("segment {image}", "Missing option '--out'"),
        ("segment --out {out}", "Missing argument"),
        ("segment {out}/none.png --out {out}", "does not exist"),
        ("segment {image} --out {out} --study nonsense", "no study 'nonsense'; there are: "),
        ("segment {image} --out {out} --study kinds", "kinds is a classification study"),
        ("segment {image} --out {out} --version nonsense", "no version 'nonsense'; there are: tiny"),
        (
            "segment {image} --out {out} --save mask,nonsense",
            "allowed are mask, probability, overlay, instances",
        ),
        ("segment {image} {image} --out {out}", "several files would write section"),
        ("screen {image} --study nonsense", "no study 'nonsense'"),
        ("screen {image} --study kinds", "study kinds has no screen"),
        ("classify {image}", "Missing option '--study'"),
        ("classify {image} --study membrane", "membrane is a segmentation study"),
        ("evaluate membrane --images {out}", "--images and --labels go together"),
        ("evaluate membrane --labels {out}", "--images and --labels go together"),
        ("evaluate membrane --split nonsense", "membrane has no split 'nonsense' beside its own; there are: none"),
        ("evaluate membrane --split other --images {out} --labels {out}", "give either"),
        ("evaluate membrane --foreground -1", "not in the range"),
        ("evaluate membrane", "BIOSEG_DATA_DIR is not set"),
        ("evaluate membrane --version nonsense", "no version 'nonsense'"),
        ("evaluate kinds --images {out} --labels {out}", "held-out split only"),
        ("evaluate kinds --foreground 1", "no --foreground"),
        ("evaluate membrane --corrupted", "--corrupted is for classification"),
        ("data fetch nonsense", "no dataset 'nonsense'; there are: brain_4class"),
        ("data audit nonsense", "no study 'nonsense'"),
        ("data audit membrane", "BIOSEG_DATA_DIR is not set"),
        ("train membrane --epochs 0", "not in the range"),
        ("publish {out}/none", "does not exist"),
        ("promote nonsense tiny", "no study 'nonsense'"),
        ("promote membrane nonsense", "no version 'nonsense'; there are: tiny"),
        ("promote membrane tiny", "membrane tiny is the champion already"),
        ("rollback nonsense", "no study 'nonsense'"),
        ("unfreeze nonsense", "no study 'nonsense'"),
        ("unfreeze membrane", "membrane is not frozen"),
        ("history nonsense", "no study 'nonsense'"),
        ("replay membrane/1", "no decision 'membrane/1'"),
        ("replay nonsense", "no decision 'nonsense'"),
        ("rollout membrane", "Missing option '--strategy'"),
        ("rollout membrane --strategy nonsense", "'nonsense' is not one of"),
        ("rollout nonsense --strategy shadow --challenger tiny", "no study 'nonsense'"),
        ("rollout membrane --strategy shadow --challenger nonsense", "no version 'nonsense'"),
        ("rollout membrane --strategy shadow", "versions beside the champion are: none"),
        ("rollout membrane --strategy ab --share 1.1", "not in the range"),
        ("rollout membrane --strategy ab --share nan", "outside 0 to 1"),
        ("rollout membrane --strategy single --share 0.5", "takes neither --challenger nor --share"),
        ("serve --port 65536", "not in the range"),
        ("serve --workers 0", "not in the range"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_is_allowed(
    bioseg: Bioseg, section: Path, tmp_path: Path, arguments: str, reason: str
) -> None:
    outcome = bioseg(*arguments.format(image=section, out=tmp_path).split())
    assert 2 == outcome.code
    assert reason in outcome.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--recipe nonsense", "no recipe 'nonsense'; there are: default, accurate, eightfold, taught, seed"),
        ("--name Nonsense", "version 'Nonsense' is no name"),
        ("--split nonsense", "membrane has no split 'nonsense' beside its own; there are: none"),
    ],
)
def test_training_with_unknown_names_is_wrong_use(bioseg: Bioseg, data: Path, arguments: str, reason: str) -> None:
    outcome = bioseg("train", "membrane", *arguments.split())
    assert 2 == outcome.code
    assert reason in outcome.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--recipe default", "a comparison takes two recipes"),
        (
            "--recipe default --recipe nonsense",
            "no recipe 'nonsense'; there are: default, accurate, eightfold, taught, seed",
        ),
        ("--recipe default --recipe seed --folds 1", "not in the range"),
    ],
)
def test_comparing_what_is_no_pair_is_wrong_use(bioseg: Bioseg, data: Path, arguments: str, reason: str) -> None:
    outcome = bioseg("compare", "membrane", *arguments.split())
    assert 2 == outcome.code
    assert reason in outcome.err


def test_an_unusable_setting_is_wrong_use(bioseg: Bioseg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSEG_RUNTIME", "nonsense")
    outcome = bioseg("doctor")
    assert (2, "bioseg: BIOSEG_RUNTIME: Input should be 'openvino' or 'reference'\n") == (outcome.code, outcome.err)


@pytest.mark.parametrize("command", ["segment --out {out}", "screen", "classify --study kinds"])
def test_a_damaged_image_fails_in_one_line_that_names_the_file(bioseg: Bioseg, tmp_path: Path, command: str) -> None:
    file = tmp_path / "broken.png"
    file.write_bytes(b"no image")
    reason = bioseg(*command.format(out=tmp_path).split(), file).failure
    assert reason.startswith(f"bioseg: {file}: The content is no known image")


def test_a_folder_that_cannot_be_written_fails_in_one_line(bioseg: Bioseg, section: Path) -> None:
    assert str(section / "out") in bioseg("segment", section, "--out", section / "out").failure


def test_a_state_folder_that_cannot_be_written_fails_in_one_line(
    bioseg: Bioseg, section: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOSEG_STATE_DIR", str(section))
    assert str(section) in bioseg("worker", "--once").failure


def test_a_database_that_does_not_answer_fails_in_one_line(
    bioseg: Bioseg, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("BIOSEG_DATABASE_URL", f"postgresql://user:hunter2@127.0.0.1:{free_port}/bioseg")
    monkeypatch.setenv("BIOSEG_SECRET_KEY", "of this test alone")
    reason = bioseg("worker", "--once").failure
    assert "check BIOSEG_DATABASE_URL" in reason
    assert "hunter2" not in reason


def test_a_framework_that_is_not_installed_is_named_with_what_brings_it(data: Path) -> None:
    code = "import sys; sys.modules['mlflow'] = None; from bioseg.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "membrane"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n")), done.stderr
    assert done.stderr.startswith("bioseg: mlflow is not installed; pip install 'bioseg[")


def test_studies_are_reported_with_their_versions_and_screens(bioseg: Bioseg) -> None:
    outcome = bioseg("studies", "--json")
    names = ("name", "task", "versions", "champion", "challenger", "screened_by", "accepts")
    expected = [
        ("kinds", "classification", ["tiny"], "tiny", None, None, []),
        ("membrane", "segmentation", ["tiny"], "tiny", None, "kinds", ["membrane EM"]),
    ]
    found = [tuple(study[name] for name in names) for study in json.loads(outcome.out)]
    assert expected == [study for study in found if study[0] in {"kinds", "membrane"}]
    assert (0, "") == (outcome.code, outcome.err)


def test_studies_are_listed_for_people(bioseg: Bioseg) -> None:
    line = "membrane: Cell membranes in electron microscopy (segmentation, screened by kinds); champion tiny"
    assert line in bioseg("studies").out.splitlines()

"""Datasets and evaluation on the command line, on the synthetic twin of ISBI 2012."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bioseg.testing import twins

Bioseg = Callable[..., Any]


def test_the_held_out_split_is_scored(bioseg: Bioseg, data: Path) -> None:
    outcome = bioseg("evaluate", "membrane", "--json")
    report = json.loads(outcome.out)
    named = {name: report[name] for name in ("study", "version", "task", "n")}
    assert (0, {"study": "membrane", "version": "tiny", "task": "segmentation", "n": 5}) == (outcome.code, named)
    assert report["metrics"]["dice"]["mean"] > 0.6


def test_folders_of_ones_own_are_scored_as_the_same_images_of_the_split_are(
    bioseg: Bioseg, data: Path, tmp_path: Path
) -> None:
    for what in ("image", "label"):
        (tmp_path / what).mkdir()
        for number in range(20, 25):
            shutil.copy(data / f"isbi2012/train/{what}/{number}.png", tmp_path / what)
    folders = ("--images", tmp_path / "image", "--labels", tmp_path / "label")
    own = bioseg("evaluate", "membrane", *folders, "--json")
    held_out = bioseg("evaluate", "membrane", "--json")
    assert json.loads(held_out.out)["metrics"] == json.loads(own.out)["metrics"]


@pytest.mark.parametrize("folders", [True, False])
def test_the_foreground_is_the_label_value_that_is_named(bioseg: Bioseg, data: Path, folders: bool) -> None:
    train = data / "isbi2012/train"
    own = ["--images", train / "image", "--labels", train / "label"] if folders else []
    dice = [
        json.loads(bioseg("evaluate", "membrane", *own, "--foreground", value, "--json").out)["metrics"]["dice"]["mean"]
        for value in (0, 255)
    ]
    assert dice[0] > 0.6 > dice[1]


def test_a_foreground_that_no_label_image_holds_fails(bioseg: Bioseg, data: Path) -> None:
    train = data / "isbi2012/train"
    arguments = ("--images", train / "image", "--labels", train / "label", "--foreground", "7")
    assert "no label image holds 7" in bioseg("evaluate", "membrane", *arguments).failure


def test_an_image_without_a_label_image_fails(bioseg: Bioseg, data: Path) -> None:
    train = data / "isbi2012/train"
    (train / "label/03.png").unlink()
    reason = bioseg("evaluate", "membrane", "--images", train / "image", "--labels", train / "label").failure
    assert "no partner of the same stem for: 03" in reason


def test_an_evaluation_is_laid_out_for_people(bioseg: Bioseg, data: Path) -> None:
    first, *rest = bioseg("evaluate", "membrane").out.splitlines()
    assert first.startswith("membrane tiny: 5 images, split ")
    assert any(line.startswith("dice ") for line in rest)


def test_an_evaluation_is_a_page_with_pictures_too(bioseg: Bioseg, data: Path, tmp_path: Path) -> None:
    assert bioseg("evaluate", "membrane", "--html", tmp_path / "report.html").code == 0
    assert (tmp_path / "report.html").read_text().count("<figure>") == 4


def test_datasets_are_listed_with_how_to_get_them(bioseg: Bioseg) -> None:
    outcome = bioseg("data", "list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(outcome.out)}
    assert (0, True, False) == (outcome.code, entries["isbi2012"]["automatic"], entries["dtd"]["automatic"])
    assert {"name", "title", "folder", "source", "licence", "automatic", "steps"} == set(entries["dtd"])
    assert "  bioseg data fetch isbi2012\n" in bioseg("data", "list").out


def test_a_split_without_leaks_passes_its_audit(bioseg: Bioseg, data: Path) -> None:
    outcome = bioseg("data", "audit", "membrane", "--json")
    expected = {"sizes": [18, 2, 5], "clean": True, "straddling": [], "identical": [], "alike": []}
    assert (0, expected) == (outcome.code, json.loads(outcome.out))


def test_a_leak_between_the_splits_fails_the_audit(bioseg: Bioseg, data: Path) -> None:
    files = [data / f"isbi2012/train/image/{number}.png" for number in ("03", "20")]
    shutil.copy(*files)
    outcome = bioseg("data", "audit", "membrane", "--json")
    report = json.loads(outcome.out)
    assert (1, False, [[str(file) for file in files]]) == (outcome.code, report["clean"], report["identical"])


def test_a_copy_that_differs_from_the_published_one_is_not_overwritten(bioseg: Bioseg, data: Path) -> None:
    before = {file: file.read_bytes() for file in data.rglob("*.png")}
    outcome = bioseg("data", "fetch", "isbi2012")
    assert 1 == outcome.code
    assert "move it away and fetch again" in outcome.err.splitlines()[-1]
    assert before == {file: file.read_bytes() for file in data.rglob("*.png")}


def test_a_dataset_that_a_person_must_get_is_explained(bioseg: Bioseg, data: Path) -> None:
    outcome = bioseg("data", "fetch", "dtd")
    assert 1 == outcome.code
    assert f"dtd has to be put into {data / 'other/dtd'} by hand. Download the archive" in outcome.err.splitlines()[-1]


def test_a_dataset_that_a_person_got_is_counted(bioseg: Bioseg, data: Path) -> None:
    twins.dtd(data, count=3)
    outcome = bioseg("data", "fetch", "dtd", "--json")
    expected = {"name": "dtd", "folder": str(data / "other/dtd"), "verified": 0, "downloaded": 0, "unverified": 3}
    assert (0, expected) == (outcome.code, json.loads(outcome.out))

"""Image files on the command line: segmented, screened and classified."""

import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from bioseg import images
from bioseg.datasets.kinds import KINDS
from bioseg.decoding import formats
from bioseg.testing import twins

Bioseg = Callable[..., Any]
READ_ONLY = (
    "segment {image} --out {out}",
    "screen {image}",
    "classify {image} --study kinds",
    "studies",
    "evaluate membrane",
)
LIMITS = images.Limits(10**7, 10**7)


def write(file: Path, pixels: NDArray[np.uint8]) -> Path:
    file.write_bytes(images.encode_png(np.ascontiguousarray(pixels)))
    return file


def read(file: Path) -> images.Image:
    return formats.decode(file.read_bytes(), LIMITS)


def test_a_mask_marks_the_membranes_at_the_images_size(bioseg: Bioseg, tmp_path: Path) -> None:
    image, interior = twins.membrane_section(3, 256)
    file = write(tmp_path / "section.v1.png", image[:200])
    outcome = bioseg("segment", file, "--out", tmp_path / "new" / "masks")
    mask = read(tmp_path / "new" / "masks" / "section.v1.mask.png")
    assert ((0, "", ""), (200, 256), {0, 255}) == (outcome, mask.shape, set(np.unique(mask)))
    assert ((mask == 255) == ~interior[:200]).mean() > 0.8


def test_each_product_asked_for_is_written_for_each_file(bioseg: Bioseg, section: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.png", twins.membrane_section(8, 64)[0])
    out = tmp_path / "out"
    assert 0 == bioseg("segment", section, other, "--out", out, "--save", "mask,probability,overlay").code
    shapes = {file.name: read(file).shape for file in out.iterdir()}
    assert {
        "section.mask.png": (80, 96),
        "section.probability.png": (80, 96),
        "section.overlay.png": (80, 96, 3),
        "other.mask.png": (64, 64),
        "other.probability.png": (64, 64),
        "other.overlay.png": (64, 64, 3),
    } == shapes


def test_the_mask_is_where_the_probability_exceeds_the_threshold(bioseg: Bioseg, section: Path, tmp_path: Path) -> None:
    bioseg("segment", section, "--out", tmp_path, "--save", "mask,probability")
    mask, probability = (read(tmp_path / f"section.{what}.png") for what in ("mask", "probability"))
    assert probability[mask == 255].min() >= probability[mask == 0].max()


def test_test_time_averaging_makes_a_flipped_image_give_the_flipped_answer(bioseg: Bioseg, tmp_path: Path) -> None:
    image = twins.membrane_section(9, 64)[0]
    for name, pixels in (("straight", image), ("flipped", image[:, ::-1])):
        assert (
            0
            == bioseg(
                "segment", write(tmp_path / f"{name}.png", pixels), "--out", tmp_path, "--save", "probability", "--tta"
            ).code
        )
    straight, flipped = (read(tmp_path / f"{name}.probability.png").astype(int) for name in ("straight", "flipped"))
    assert np.abs(straight - flipped[:, ::-1]).max() <= 1
    assert np.ptp(straight) > 100


def test_what_the_screen_would_refuse_is_segmented_with_a_warning(
    bioseg: Bioseg, photo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert 0 == bioseg("segment", photo, "--out", tmp_path).code
    assert (tmp_path / "photo.mask.png").exists()
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert re.match(rf"{photo}: the screen says (ask|reject), looks like ", warning.getMessage())


def test_an_accepted_image_brings_no_warning(
    bioseg: Bioseg, section: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bioseg("segment", section, "--out", tmp_path)
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_with_screen_a_refused_image_fails_with_the_reason_and_leaves_no_mask(
    bioseg: Bioseg, photo: Path, tmp_path: Path
) -> None:
    reason = bioseg("segment", photo, "--out", tmp_path / "out", "--screen").failure
    assert reason.startswith(f"bioseg: {photo}: looks like ")
    assert [] == list((tmp_path / "out").iterdir())


def test_with_screen_an_accepted_image_is_segmented(bioseg: Bioseg, section: Path, tmp_path: Path) -> None:
    assert 0 == bioseg("segment", section, "--out", tmp_path, "--screen").code
    assert (tmp_path / "section.mask.png").exists()


def test_the_screen_reports_each_file(bioseg: Bioseg, section: Path, photo: Path) -> None:
    outcome = bioseg("screen", section, photo, "--study", "membrane", "--json")
    accepted, refused = json.loads(outcome.out)
    assert [["file", "verdict", "score", "kind", "reason"]] * 2 == [list(accepted), list(refused)]
    assert (0, str(section), "accept", "membrane EM") == (
        outcome.code,
        accepted["file"],
        accepted["verdict"],
        accepted["kind"],
    )
    assert (str(photo), True) == (refused["file"], refused["verdict"] != "accept")
    assert refused["score"] < accepted["score"] <= 1


def test_the_screen_tells_people_verdict_and_reason(bioseg: Bioseg, section: Path) -> None:
    assert re.fullmatch(
        rf"{section}: accept \(\d\.\d\d\), looks like membrane EM, \d\.\d\d\n", bioseg("screen", section).out
    )


def test_a_class_is_reported_with_all_probabilities(bioseg: Bioseg, section: Path) -> None:
    outcome = bioseg("classify", section, "--study", "kinds", "--json")
    (answer,) = json.loads(outcome.out)
    probabilities = answer.pop("probabilities")
    assert (0, {"file": str(section), "label": "membrane EM"}) == (outcome.code, answer)
    assert ("membrane EM", list(KINDS)) == (max(probabilities, key=probabilities.get), list(probabilities))
    assert 1 == pytest.approx(sum(probabilities.values()))


def test_a_class_is_told_people_by_file(bioseg: Bioseg, section: Path) -> None:
    assert (0, f"{section}: membrane EM\n", "") == bioseg("classify", section, "--study", "kinds")


def test_instances_number_the_cells_that_the_mask_parts(bioseg: Bioseg, section: Path, tmp_path: Path) -> None:
    assert 0 == bioseg("segment", section, "--out", tmp_path, "--save", "mask,instances").code
    labels = tifffile.imread(tmp_path / "section.instances.tif")
    regions, count = ndimage.label(read(tmp_path / "section.mask.png") == 0)
    assert labels.min() == 1 < labels.max() == count
    assert len(set(zip(labels[regions > 0].tolist(), regions[regions > 0].tolist(), strict=True))) == count


@pytest.mark.parametrize("command", READ_ONLY)
def test_a_command_that_only_reads_leaves_no_state(
    bioseg: Bioseg, data: Path, section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert 0 == bioseg(*command.format(image=section, out=tmp_path / "out").split()).code
    assert {"section.png", "data", "out"} >= {file.name for file in tmp_path.iterdir()}


def test_who_is_champion_is_not_guessed_while_the_ledger_cannot_be_read(
    bioseg: Bioseg, section: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOSEG_DATABASE_URL", f"postgresql://127.0.0.1:{free_port}/none")
    assert "the database does not answer" in bioseg("screen", section).failure


def test_without_a_screens_champion_images_are_segmented_with_a_warning(
    bioseg: Bioseg,
    section: Path,
    tiny_models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    models = shutil.copytree(tiny_models, tmp_path / "models")
    champions = json.loads((models / "champions.json").read_text())
    (models / "champions.json").write_text(json.dumps({"membrane": champions["membrane"]}))
    monkeypatch.setenv("BIOSEG_MODELS_DIR", str(models))

    assert 0 == bioseg("segment", section, "--out", tmp_path).code
    assert "not screened, kinds has no champion" in caplog.text


def test_with_screen_the_screens_champion_is_needed(
    bioseg: Bioseg, section: Path, tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = shutil.copytree(tiny_models, tmp_path / "models")
    (models / "champions.json").write_text('{"membrane": "tiny"}')
    monkeypatch.setenv("BIOSEG_MODELS_DIR", str(models))

    outcome = bioseg("segment", section, "--out", tmp_path / "out", "--screen")
    assert (2, True) == (outcome.code, "kinds has no champion" in outcome.err)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Three drawn EM sections, the second much darker, as pages of one TIFF, 72 x 64 pixels."""
    pages = np.stack([twins.membrane_section(number, 72)[0][:64] for number in (11, 12, 13)])
    pages[1] //= 3
    tifffile.imwrite(tmp_path / "series.tif", pages, photometric="minisblack", compression="zlib")
    return tmp_path / "series.tif"


def test_each_page_of_a_stack_is_segmented_as_it_would_be_alone(bioseg: Bioseg, stack: Path, tmp_path: Path) -> None:
    pages = tifffile.imread(stack)
    alone = [write(tmp_path / f"alone{number}.png", page) for number, page in enumerate(pages)]
    products = ("--save", "mask,probability,overlay,instances")
    assert 0 == bioseg("segment", stack, *alone, "--out", tmp_path / "out", *products).code
    for what, ending in (("mask", "png"), ("probability", "png"), ("overlay", "png"), ("instances", "tif")):
        together = tifffile.imread(tmp_path / f"out/series.{what}.tif")
        apart = [tmp_path / f"out/alone{number}.{what}.{ending}" for number in range(3)]
        expected = [tifffile.imread(file) if ending == "tif" else read(file) for file in apart]
        np.testing.assert_array_equal(together, expected)


def test_a_stack_gives_no_single_pictures(bioseg: Bioseg, stack: Path, tmp_path: Path) -> None:
    bioseg("segment", stack, "--out", tmp_path / "out")
    assert ["series.mask.tif"] == [file.name for file in (tmp_path / "out").iterdir()]


def test_a_damaged_page_fails_by_its_number_and_leaves_nothing(bioseg: Bioseg, stack: Path, tmp_path: Path) -> None:
    with tifffile.TiffFile(stack) as opened:
        offset = opened.pages[1].dataoffsets[0]
    data = stack.read_bytes()
    stack.write_bytes(data[:offset] + bytes(8) + data[offset + 8 :])
    assert bioseg("segment", stack, "--out", tmp_path / "out").failure.startswith(f"bioseg: {stack}: page 2: ")
    assert [] == list((tmp_path / "out").iterdir())


def test_the_page_that_the_screen_would_refuse_is_named(
    bioseg: Bioseg, photo: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pages = np.stack([np.stack([twins.membrane_section(7, 256)[0]] * 3, axis=-1), read(photo)])
    file = tmp_path / "mixed.tif"
    tifffile.imwrite(file, pages, photometric="rgb")
    assert 0 == bioseg("segment", file, "--out", tmp_path).code
    (warning,) = warnings(caplog)
    assert warning.startswith(f"{file}, page 2: the screen says ")

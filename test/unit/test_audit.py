"""Leaks between splits: each kind is found, and the splits that ship are clean."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from bioseg.datasets import Sample, Splits, brain_4class, brain_mri, isbi2012, isic2018, kinds, montgomery, shenzhen
from bioseg.datasets.audit import audit
from bioseg.datasets.fingerprints import alike, fingerprints
from bioseg.errors import DatasetError
from bioseg.testing import twins

SPLITS = [isbi2012, montgomery, shenzhen, isic2018, brain_mri, brain_4class, kinds]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    twins.write_all(folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    twins.bsds(tmp_path, count=6)
    files = sorted((tmp_path / "other/bsds").iterdir())
    return [Sample(file, source="bsds", group=file.stem) for file in files]


def split(samples) -> Splits:
    return Splits(fit=tuple(samples[:2]), choose=tuple(samples[2:4]), score=tuple(samples[4:]))


@pytest.mark.parametrize("module", SPLITS, ids=lambda module: module.NAME)
def test_splits_of_the_twins_are_clean(data, module):
    report = audit(module.splits(data))
    assert (report.straddling, report.identical, report.alike) == ((), (), ())


def test_audit_counts_the_parts(photos):
    report = audit(split(photos))
    assert (report.sizes, report.clean) == ((2, 2, 2), True)


def test_group_in_two_parts_is_found(photos):
    photos[4] = replace(photos[4], group=photos[0].group)
    report = audit(split(photos))
    assert (report.straddling, report.clean) == ((photos[0].group,), False)


@pytest.mark.parametrize("part", ["unlabelled", "related"])
def test_what_a_fit_learns_from_beside_its_own_samples_leaks_too(photos, part):
    own = replace(split(photos[1:]), **{part: (photos[0],)})
    assert audit(own).clean
    leaking = replace(own, **{part: (replace(photos[0], group=own.score[0].group),)})
    assert audit(leaking).straddling == (own.score[0].group,)


def test_same_bytes_in_two_parts_are_found(photos, tmp_path):
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(photos[0].image.read_bytes())
    photos[5] = replace(photos[5], image=copy)
    assert audit(split(photos)).identical == ((photos[0].image, copy),)


def test_same_bytes_within_a_part_are_no_leak(photos, tmp_path):
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(photos[0].image.read_bytes())
    photos[1] = replace(photos[1], image=copy)
    assert audit(split(photos)).clean is True


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((96, 96)),
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: image.convert("L"),
    ],
    ids=["larger", "darker", "gray"],
)
def test_changed_copy_in_another_part_is_found(photos, tmp_path, change):
    copy = tmp_path / "copy.jpg"
    change(Image.open(photos[1].image)).save(copy, quality=60)
    photos[3] = replace(photos[3], image=copy)
    (pair,) = audit(split(photos)).alike
    assert (pair.first, pair.second) == (photos[1].image, copy)
    assert pair.correlation > 0.95


def test_unreadable_file_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"a\.png is no readable image"):
        audit(split([Sample(tmp_path / "a.png", source="own", group="a")]))


@pytest.mark.realdata
@pytest.mark.skipif("BIOSEG_DATA_DIR" not in os.environ, reason="BIOSEG_DATA_DIR is not set")
@pytest.mark.parametrize("module", SPLITS, ids=lambda module: module.NAME)
def test_splits_of_the_real_copy_are_clean(module, real_splits):
    report = audit(real_splits(module.splits))
    assert (report.straddling, report.identical, report.alike) == ((), (), ())


@pytest.mark.realdata
@pytest.mark.skipif("BIOSEG_DATA_DIR" not in os.environ, reason="BIOSEG_DATA_DIR is not set")
def test_neighbouring_sections_are_told_from_duplicates():
    sections = isbi2012.labelled(Path(os.environ["BIOSEG_DATA_DIR"]))
    prints = fingerprints([section.image for section in sections.values()])
    pairs = alike(prints, prints, max_bits=64, min_correlation=0.75)
    assert [(first, second) for first, second, _ in pairs if first != second] == []

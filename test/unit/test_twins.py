"""The drawn EM section and the twins on disk."""

import numpy as np
import pytest
from PIL import Image

from bioseg.datasets import kinds
from bioseg.testing import twins


@pytest.mark.parametrize("side", [16, 64, 100, 256, 512])
def test_section_has_the_asked_shape(side):
    image, interior = twins.membrane_section(3, side)
    assert (image.shape, image.dtype, interior.shape, interior.dtype) == ((side, side), np.uint8, (side, side), bool)


def test_section_is_given_by_its_seed():
    first, again, other = (twins.membrane_section(seed)[0] for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("seed", range(3))
def test_membranes_are_dark_and_cover_about_a_quarter(seed):
    image, interior = twins.membrane_section(seed)
    assert image[interior].mean() - image[~interior].mean() > 50
    assert 0.15 < (~interior).mean() < 0.35


def test_membranes_are_about_five_pixels_wide():
    interior = twins.membrane_section(0, 512)[1]
    row_runs = np.diff(np.flatnonzero(np.diff(np.pad(~interior, ((0, 0), (1, 1))).astype(int).ravel())))[::2]
    assert 4 <= np.median(row_runs) <= 7


def test_a_section_holds_many_separate_cells():
    cv2 = pytest.importorskip("cv2")
    count, _ = cv2.connectedComponents(twins.membrane_section(0)[1].astype(np.uint8), connectivity=4)
    assert count > 20


def test_isbi_label_is_the_interior_of_its_section(tmp_path):
    twins.isbi2012(tmp_path, sections=2, challenge=0)
    label = np.array(Image.open(tmp_path / "isbi2012/train/label/01.png"))
    assert np.array_equal(label == 255, twins.membrane_section(1, twins.SIDE)[1])


def test_medulla_label_is_the_inverse(tmp_path):
    twins.em_medulla(tmp_path)
    membrane = np.array(Image.open(tmp_path / "em_medulla/membrane/iso.2600.png"))
    assert np.array_equal(membrane, ~twins.membrane_section(2000, twins.SIDE)[1])


def test_write_all_is_the_same_every_time(tmp_path):
    twins.write_all(tmp_path / "a")
    twins.write_all(tmp_path / "b")
    first, second = (
        {file.relative_to(root): file.read_bytes() for file in root.rglob("*") if file.is_file()}
        for root in (tmp_path / "a", tmp_path / "b")
    )
    assert first == second


def test_write_all_fills_every_folder_of_the_datasets(tmp_path):
    twins.write_all(tmp_path)
    assert [each.name for each in kinds.DATASETS if not each.root(tmp_path).is_dir()] == []

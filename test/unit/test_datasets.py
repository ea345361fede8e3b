"""Readers on the synthetic twins, splits by group, and (marked realdata) the counts of the real copy."""

import os
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bioseg.datasets import (
    Sample,
    Splits,
    brain_4class,
    brain_mri,
    bsds,
    cid22,
    digest,
    dsb2018,
    dtd,
    em_medulla,
    em_unlabelled,
    folds,
    isbi2012,
    isic2018,
    kinds,
    montgomery,
    pair_by_stem,
    part_of,
    shenzhen,
    split_by_group,
)
from bioseg.datasets.audit import straddling
from bioseg.datasets.fingerprints import fingerprints, regroup
from bioseg.errors import DatasetError
from bioseg.studies.kinds import UNSEEN
from bioseg.testing import twins

needs_real_data = pytest.mark.skipif("BIOSEG_DATA_DIR" not in os.environ, reason="BIOSEG_DATA_DIR is not set")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    twins.write_all(folder)
    return folder


@pytest.fixture(scope="module")
def of_kinds(data):
    return kinds.splits(data)


def sizes(splits: Splits) -> tuple[int, int, int]:
    return len(splits.fit), len(splits.choose), len(splits.score)


def groups(part) -> set[str]:
    return {sample.group for sample in part}


def sample(group: str, image: str = "x.png") -> Sample:
    return Sample(Path(image), source="s", group=group)


# ISBI 2012


def test_isbi_blocks_are_18_fit_2_choose_and_the_rest_to_score(data):
    assert sizes(isbi2012.splits(data)) == (18, 2, 5)


def test_isbi_reads_all_30_published_sections(tmp_path):
    twins.isbi2012(tmp_path, sections=30, challenge=0)
    assert sizes(isbi2012.splits(tmp_path)) == (18, 2, 10)


def test_isbi_pairs_by_name_not_by_position(data):
    assert all(s.masks[0].stem == s.image.stem for s in isbi2012.labelled(data).values())


def test_isbi_section_without_label_is_refused(tmp_path):
    twins.isbi2012(tmp_path, sections=3, challenge=1)
    (tmp_path / "isbi2012/train/label/01.png").unlink()
    with pytest.raises(DatasetError, match="no partner of the same stem for: 01"):
        isbi2012.labelled(tmp_path)


def test_isbi_challenge_sections_have_no_masks(data):
    stack = isbi2012.challenge(data)
    assert (len(stack), {s.masks for s in stack.values()}) == (30, {()})


def test_missing_folder_names_the_setting_to_change(tmp_path):
    with pytest.raises(DatasetError, match="BIOSEG_DATA_DIR"):
        isbi2012.splits(tmp_path)


# readers


@pytest.mark.parametrize(
    ("read", "count"),
    [
        (em_medulla.samples, 50),
        (em_unlabelled.hela, 8),
        (em_unlabelled.medulla520, 20),
        (em_unlabelled.axon_sem, 2),
        (montgomery.samples, 16),
        (shenzhen.samples, 16),
        (isic2018.samples, 16),
        (brain_mri.samples, 32),
        (brain_4class.samples, 48),
        (dsb2018.samples, 48),
        (bsds.samples, 16),
        (cid22.samples, 16),
        (dtd.samples, 16),
    ],
)
def test_reader_lists_every_image_of_its_twin(data, read, count):
    assert len({s.image for s in read(data)}) == count


@pytest.mark.parametrize("read", [em_medulla.samples, montgomery.samples, shenzhen.samples, isic2018.samples])
def test_masks_lie_over_their_images(data, read):
    for s in read(data):
        assert {Image.open(mask).size for mask in s.masks} == {Image.open(s.image).size}


def test_medulla_planes_ascend_in_blocks_of_ten(data):
    samples = em_medulla.samples(data)
    assert [em_medulla.plane(s.image) for s in samples] == list(range(2600, 2850, 5))
    assert set(Counter(s.group for s in samples).values()) == {10}


def test_medulla_membranes_are_dark_in_the_image_and_255_in_the_mask(data):
    s = em_medulla.samples(data)[0]
    image, membrane = cv2.imread(str(s.image), 0), cv2.imread(str(s.masks[0]), 0) == em_medulla.MEMBRANE
    assert image[membrane].mean() < image[~membrane].mean()


def test_montgomery_has_both_lungs_of_one_patient(data):
    for s in montgomery.samples(data):
        assert [mask.parent.name for mask in s.masks] == ["leftMask", "rightMask"]
        assert {mask.name for mask in s.masks} == {s.image.name}


def test_montgomery_left_mask_is_right_in_the_picture(data):
    left, right = (np.array(Image.open(mask)) for mask in montgomery.samples(data)[0].masks)
    assert np.argwhere(left)[:, 1].mean() > np.argwhere(right)[:, 1].mean()


def test_montgomery_group_is_the_patient_and_label_the_diagnosis(data):
    by_name = {s.image.name: (s.group, s.label) for s in montgomery.samples(data)}
    assert by_name["MCUCXR_0004_1.png"] == ("lung_montgomery/0004", "tuberculosis")
    assert by_name["MCUCXR_0005_0.png"] == ("lung_montgomery/0005", "normal")


def test_montgomery_with_one_lung_missing_is_refused(tmp_path):
    twins.montgomery(tmp_path, count=2)
    (tmp_path / "lung_montgomery/MontgomerySet/ManualMask/rightMask/MCUCXR_0002_0.png").unlink()
    with pytest.raises(DatasetError, match="MCUCXR_0002_0"):
        montgomery.samples(tmp_path)


@pytest.mark.parametrize(
    ("write", "read", "suffix"),
    [(twins.shenzhen, shenzhen.samples, "_mask"), (twins.isic2018, isic2018.samples, "_segmentation")],
)
def test_mask_names_as_published_pair_as_well(tmp_path, write, read, suffix):
    write(tmp_path, count=3)
    for mask in list(tmp_path.glob("*/mask/*.png")):
        mask.rename(mask.with_stem(mask.stem + suffix))
    assert [s.masks[0].stem for s in read(tmp_path)] == [s.image.stem + suffix for s in read(tmp_path)]


def test_brain_labels_are_the_folders(data):
    assert Counter(s.label for s in brain_mri.samples(data)) == {"yes": 16, "no": 16}
    assert Counter(s.label for s in brain_4class.samples(data)) == dict.fromkeys(brain_4class.LABELS, 12)


def test_typed_tumours_are_related_to_brain_mri_but_for_those_that_are_like_one_of_its_slices(tmp_path):
    twins.brain_mri(tmp_path, count=4)
    twins.brain_4class(tmp_path, count=4)
    every = {sample.image for sample in brain_4class.samples(tmp_path)}
    assert {sample.image for sample in brain_mri.splits(tmp_path).related} == every
    like = tmp_path / "brain_4class/glioma_tumor/training_gg (1).jpg"
    Image.open(like).save(tmp_path / "brain_mri/yes/Z.jpg", quality=60)
    left = {sample.image for sample in brain_mri.splits(tmp_path).related}
    assert like not in left
    assert left < every


def test_brain_mri_stands_without_typed_tumours(tmp_path):
    twins.brain_mri(tmp_path, count=4)
    assert brain_mri.splits(tmp_path).related == ()


def test_neighbouring_numbers_of_a_brain_series_are_one_group(data):
    group = {s.image.stem: s.group for s in brain_4class.samples(data)}
    assert group["training_gg (1)"] == group["training_gg (8)"]
    assert group["training_gg (8)"] != group["training_gg (15)"]


def test_shuffled_brain_slices_stand_alone(data):
    shuffled = [s.group for s in brain_4class.samples(data) if s.label == "no_tumor"]
    assert len(set(shuffled)) == len(shuffled)


def test_recompressed_copy_joins_the_group_of_its_original(tmp_path):
    twins.brain_mri(tmp_path, count=4)
    Image.open(tmp_path / "brain_mri/yes/Y2.jpg").save(tmp_path / "brain_mri/yes/Z.jpg", quality=60)
    by_stem = {s.image.stem: s.group for s in brain_mri.samples(tmp_path)}
    assert by_stem["Z"] == by_stem["Y2"]
    assert len(set(by_stem.values())) == 8


def test_nuclei_are_told_apart_by_their_pixels(data):
    looks = ("fluorescence", "histology", "other")
    assert [s.label for s in dsb2018.samples(data)] == [looks[int(s.image.stem, 16) % 3] for s in dsb2018.samples(data)]


def test_damaged_image_is_named(tmp_path):
    twins.dsb2018(tmp_path, count=1)
    (tmp_path / "other/dsb2018/0001.jpg").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"0001\.jpg is no readable image"):
        dsb2018.samples(tmp_path)


def test_plane_number_is_required_of_a_volume(tmp_path):
    twins.em_unlabelled(tmp_path)
    (tmp_path / "em_unlabelled/hela/overview.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match="plane number"):
        em_unlabelled.hela(tmp_path)


# pairing, digest, splitting


def test_every_group_is_scored_in_one_fold_and_fitted_on_in_the_others():
    samples = [replace(sample(f"{n // 2}"), label="ab"[n % 4 // 2]) for n in range(20)]
    dealt = folds(Splits(tuple(samples[:10]), tuple(samples[10:14]), tuple(samples[14:]), related=(sample("r"),)), 5)
    assert {each.image for part in dealt for each in part.related} == {sample("r").image}
    assert sorted(s.group for part in dealt for s in part.score) == sorted(s.group for s in samples)
    assert [(len(part.fit), len(part.choose), len(part.score)) for part in dealt] == [(16, 0, 4)] * 5
    assert [set()] * 5 == [{s.group for s in part.fit} & {s.group for s in part.score} for part in dealt]
    assert [{"a", "b"}] * 5 == [{s.label for s in part.score} for part in dealt]


def test_more_parts_than_groups_are_refused():
    with pytest.raises(DatasetError, match="2 groups cannot be dealt to 3 parts"):
        folds(Splits((sample("a"),), (), (sample("b"),)), 3)


def test_two_files_of_one_stem_are_refused():
    with pytest.raises(DatasetError, match="share a stem"):
        pair_by_stem([Path("1.png"), Path("1.tif")], [Path("1.png")])


def test_digest_ignores_order_and_place_but_not_contents(data, tmp_path):
    twins.isbi2012(tmp_path, sections=3, challenge=1)
    here, there = isbi2012.labelled(tmp_path), isbi2012.labelled(data)
    assert digest([here[0], here[1]]) == digest([there[1], there[0]])
    assert digest([here[0], here[1]]) != digest([here[0], here[2]])


@given(st.lists(st.text(min_size=1), max_size=30), st.randoms())
def test_split_by_group_keeps_groups_whole_and_loses_nothing(names, random):
    samples = [sample(name) for name in names]
    splits = split_by_group(samples)
    shuffled = list(samples)
    random.shuffle(shuffled)
    assert sum(sizes(splits)) == len(samples)
    assert straddling((splits.fit, splits.choose, splits.score)) == ()
    assert [groups(getattr(splits, f.name)) for f in fields(Splits)] == [
        groups(getattr(split_by_group(shuffled), f.name)) for f in fields(Splits)
    ]


def test_shares_of_many_groups_are_60_15_25():
    shares = Counter(part_of(f"group {number}") for number in range(4000))
    assert {part: count / 4000 for part, count in shares.items()} == pytest.approx(
        {"fit": 0.60, "choose": 0.15, "score": 0.25}, abs=0.02
    )


def test_blocks_leave_out_the_first_section_after_a_change():
    volume = [sample(f"b{number // 4}", str(number)) for number in range(16)]
    splits = kinds.split_by_block(volume, ("fit", "fit", "choose", "score"))
    assert [int(s.image.name) for s in (*splits.fit, *splits.choose, *splits.score)] == [
        *range(8), 9, 10, 11, 13, 14, 15
    ]  # fmt: skip


def test_regrouping_does_not_depend_on_the_order(data):
    samples = brain_mri.samples(data)
    copies = [*samples, Sample(samples[0].image, source="copy", group="a/copy")]
    forward = {(s.image, s.source): s.group for s in regroup(copies)}
    backward = {(s.image, s.source): s.group for s in regroup(copies[::-1])}
    assert forward == backward
    assert forward[samples[0].image, "copy"] == forward[samples[0].image, "brain_mri"] == "a/copy"


def test_blank_images_are_like_nothing(tmp_path):
    file = tmp_path / "blank.png"
    Image.new("L", (64, 64), 128).save(file)
    assert not fingerprints([file]).thumbs.any()


# kinds


def test_kinds_uses_every_label_and_no_other(of_kinds):
    assert {s.label for f in fields(Splits) for s in getattr(of_kinds, f.name)} == set(kinds.KINDS)


@pytest.mark.parametrize("part", ["fit", "choose", "score"])
def test_every_kind_of_the_twin_is_in_every_part(of_kinds, part):
    assert {s.label for s in getattr(of_kinds, part)} == set(kinds.KINDS)


def test_a_source_left_out_is_scored_whole_and_nothing_like_it_is_fitted_on(data, of_kinds):
    left_out = kinds.without("em_medulla", data)
    everything = [sample for part in (of_kinds.fit, of_kinds.choose, of_kinds.score) for sample in part]
    unseen = [sample for sample in everything if sample.source == "em_medulla"]
    assert len([sample for sample in left_out.score if sample.source == "em_medulla"]) == len(unseen) > 0
    groups = {sample.group for sample in left_out.score}
    assert not groups & {sample.group for sample in (*left_out.fit, *left_out.choose)}
    assert {sample for sample in of_kinds.score if sample.source != "em_medulla"} < set(left_out.score)


def test_the_sources_that_can_be_left_out_are_there(of_kinds):
    assert set(UNSEEN) <= {sample.source for sample in (*of_kinds.fit, *of_kinds.score)}


def test_kinds_fits_on_no_section_that_isbi_holds_out(data, of_kinds):
    isbi = {s.image for s in of_kinds.fit if s.source == "isbi2012"}
    assert isbi == {s.image for s in isbi2012.splits(data).fit}


def test_challenge_sections_choose_and_score_only(of_kinds):
    numbers = {
        f.name: {int(s.image.stem) for s in getattr(of_kinds, f.name) if s.group.startswith("isbi2012/test")}
        for f in fields(Splits)
    }
    assert numbers == {
        "fit": set(),
        "choose": set(range(10)),
        "score": set(range(10, 30)),
        "unlabelled": set(),
        "related": set(),
    }


def test_second_picture_of_white_matter_is_for_scoring(of_kinds):
    where = {s.image.stem: f.name for f in fields(Splits) for s in getattr(of_kinds, f.name) if "axon" in s.source}
    assert where == {"image1": "fit", "image2": "score"}


def test_missing_source_is_left_out_with_a_warning(tmp_path):
    twins.isbi2012(tmp_path)
    twins.bsds(tmp_path)
    with pytest.warns(UserWarning, match="left out of kinds: .*skin_isic2018"):
        splits = kinds.splits(tmp_path)
    assert {s.source for s in splits.fit} == {"isbi2012", "bsds"}


def test_damaged_source_is_an_error_not_a_warning(tmp_path):
    twins.isbi2012(tmp_path)
    twins.shenzhen(tmp_path, count=2)
    (tmp_path / "lung_shenzhen/mask/CHNCXR_0001_0.png").unlink()
    with pytest.warns(UserWarning, match="left out"), pytest.raises(DatasetError, match="CHNCXR_0001_0"):
        kinds.splits(tmp_path)


# the real copy


@pytest.mark.realdata
@needs_real_data
def test_counts_of_the_real_copy():
    data_dir = Path(os.environ["BIOSEG_DATA_DIR"])
    readers = [em_medulla, montgomery, shenzhen, isic2018, brain_mri, brain_4class, dsb2018, bsds, cid22, dtd]
    assert sizes(isbi2012.splits(data_dir)) == (18, 2, 5)
    assert [len(reader.samples(data_dir)) for reader in readers] == [50, 118, 62, 600, 172, 1177, 604, 450, 226, 320]


@pytest.mark.realdata
@needs_real_data
def test_kinds_of_nuclei_in_the_real_copy():
    samples = dsb2018.samples(Path(os.environ["BIOSEG_DATA_DIR"]))
    assert Counter(s.label for s in samples) == {"fluorescence": 493, "histology": 98, "other": 13}

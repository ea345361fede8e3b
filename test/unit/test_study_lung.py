"""How the images of `lung` are split."""

import pytest

from bioseg import studies
from bioseg.datasets.audit import straddling
from bioseg.errors import InvalidInput
from bioseg.testing import twins

LUNG = studies.get("lung")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.montgomery(folder)
    twins.shenzhen(folder)
    return folder


def test_an_unknown_split_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match="no split 'nonsense' beside its own; there are: montgomery-to-shenzhen"):
        LUNG.under("nonsense")


def sources(samples):
    return {sample.source for sample in samples}


def test_both_hospitals_are_in_each_part_of_the_mixed_split(data):
    splits = LUNG.splits(data)
    both = {"lung_montgomery", "lung_shenzhen"}
    assert [sources(part) for part in (splits.fit, splits.choose, splits.score)] == [both, both, both]


def test_no_patient_is_in_two_parts_of_a_split(data):
    for study in (LUNG, LUNG.under("montgomery-to-shenzhen")):
        splits = study.splits(data)
        assert straddling((splits.fit, splits.choose, splits.score)) == ()


def test_the_other_hospital_scores_what_was_fitted_on_one(data):
    splits = LUNG.under("montgomery-to-shenzhen").splits(data)
    assert sources(splits.fit + splits.choose) == {"lung_montgomery"}
    assert sources(splits.score) == {"lung_shenzhen"}
    assert (len(splits.fit + splits.choose), len(splits.score)) == (16, 16)

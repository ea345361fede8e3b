from dataclasses import replace

import numpy as np
import pytest

from bioseg import studies
from bioseg.datasets import isbi2012, pixels
from bioseg.errors import DatasetError, InvalidInput
from bioseg.inference import keras_runtime
from bioseg.inference.eightfold import eightfold
from bioseg.inference.segmenting import foreground_probability
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.study import SegmenterRecipe
from bioseg.testing import twins
from bioseg.testing.fake_tracker import FakeTracker
from bioseg.training import Run, teaching
from bioseg.training.train import Inheritance, fit, fit_once

TEACHER = SegmenterRecipe(filters=(2, 4), size=32, epochs=1, steps=2, batch=2)
TAUGHT = replace(TEACHER, filters=(4, 8), taught=True)
STUDY = studies.get("membrane")


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.isbi2012(folder, challenge=2)
    return isbi2012.splits(folder)


@pytest.fixture(scope="module")
def teachers(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers")
    registry = FolderRegistry(folder / "shipped", folder / "trained")
    return tuple(
        fit_once(STUDY, TEACHER, splits, run(folder / f"{seed}", seed), registry, f"t{seed}", "") for seed in (1, 2)
    )


def run(folder, seed=1):
    folder.mkdir(exist_ok=True)
    return Run(FakeTracker(), lambda _done, _line: None, folder, seed)


def test_lessons_are_what_the_teachers_say_on_average(splits, teachers):
    lessons = teaching.lessons(TAUGHT, splits, teachers)
    picture = pixels.image(splits.unlabelled[0])
    said = [
        foreground_probability(eightfold(keras_runtime.load(teacher, 1)), teacher.contract, picture)
        for teacher in teachers
    ]
    assert np.abs(said[0] - said[1]).max() > 0.01
    assert len(lessons) == 2
    np.testing.assert_allclose(lessons[0][1][..., 0], (said[0] + said[1]) / 2, atol=1e-4)
    assert (lessons[0][1][..., 1] == 1).all()


def test_what_the_teachers_say_moves_the_network(splits, teachers, tmp_path):
    alone, taught = (
        fit(STUDY, recipe, splits, run(tmp_path / name), Inheritance(teachers=teachers)).get_weights()
        for name, recipe in (("alone", replace(TAUGHT, taught=False)), ("taught", TAUGHT))
    )
    assert any((one != other).any() for one, other in zip(alone, taught, strict=True))


def test_without_unlabelled_samples_nobody_teaches(splits, teachers):
    with pytest.raises(DatasetError, match="no unlabelled samples of membrane"):
        teaching.lessons(TAUGHT, replace(splits, unlabelled=()), teachers)


def test_a_recipe_that_is_taught_wants_a_teacher(splits, tmp_path):
    with pytest.raises(InvalidInput, match="name one at least with --teacher"):
        fit(STUDY, TAUGHT, splits, run(tmp_path))

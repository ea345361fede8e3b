from dataclasses import replace

import numpy as np
import pytest

from bioseg import studies
from bioseg.datasets import isbi2012, pixels
from bioseg.errors import DatasetError, InvalidInput
from bioseg.inference.eightfold import eightfold
from bioseg.inference.segmenting import foreground_probability
from bioseg.study import ClassifierRecipe, SegmenterRecipe
from bioseg.testing import twins
from bioseg.testing.fake_tracker import FakeTracker
from bioseg.training import Run, segmenter, teaching
from bioseg.training.contracts import draft

TEACHER = SegmenterRecipe(filters=(2, 4), size=32, epochs=1, steps=2, batch=2)
TAUGHT = replace(TEACHER, filters=(4, 8), teachers=2, taught_by="teacher")
STUDY = replace(studies.get("membrane"), recipes={"teacher": TEACHER, "kinds": ClassifierRecipe()})


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.isbi2012(folder, challenge=2)
    return isbi2012.splits(folder)


def run(folder):
    folder.mkdir(exist_ok=True)
    return Run(FakeTracker(), lambda _done, _line: None, folder, seed=1)


def test_lessons_are_what_the_teachers_say_on_average(splits, tmp_path):
    lessons = teaching.lessons(STUDY, TAUGHT, splits, run(tmp_path))
    contract = draft(STUDY, TEACHER, "v1")
    picture = pixels.image(splits.unlabelled[0])
    said = []
    for number in (1, 2):
        own = replace(run(tmp_path / f"{number}"), seed=1 + number)
        teacher = segmenter.fit(STUDY, TEACHER, splits, own)
        predict = eightfold(segmenter.framework_of(TEACHER).predictor(teacher, contract))
        said.append(foreground_probability(predict, contract, picture))
    assert np.abs(said[0] - said[1]).max() > 0.01
    assert len(lessons) == 2
    np.testing.assert_allclose(lessons[0][1][..., 0], (said[0] + said[1]) / 2, atol=1e-5)
    assert (lessons[0][1][..., 1] == 1).all()


def test_each_teacher_has_its_own_curves_and_file(splits, tmp_path):
    own = run(tmp_path)
    teaching.lessons(STUDY, TAUGHT, splits, own)
    assert set(own.course) == {"teacher1_loss", "teacher2_loss"}
    assert {file.name for file in tmp_path.iterdir()} == {"teacher1_last.safetensors", "teacher2_last.safetensors"}


def test_without_unlabelled_samples_nobody_teaches(splits, tmp_path):
    with pytest.raises(DatasetError, match="no unlabelled samples of membrane"):
        teaching.lessons(STUDY, TAUGHT, replace(splits, unlabelled=()), run(tmp_path))


def test_a_classifier_teaches_no_segmenter(splits, tmp_path):
    with pytest.raises(InvalidInput, match="kinds of membrane is no recipe of a segmenter"):
        teaching.lessons(STUDY, replace(TAUGHT, taught_by="kinds"), splits, run(tmp_path))

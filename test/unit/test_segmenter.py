from dataclasses import replace

import cv2
import numpy as np
import pytest

from bioseg import studies
from bioseg.datasets import Sample, Splits, isbi2012
from bioseg.datasets.augment import Augmentation
from bioseg.errors import DatasetError, InvalidInput
from bioseg.study import SegmenterRecipe
from bioseg.testing import twins
from bioseg.testing.fake_tracker import FakeTracker
from bioseg.training import Run, segmenter

STUDY = studies.get("membrane")
TINY = SegmenterRecipe(filters=(4, 8), size=32, epochs=5, steps=6, batch=4, averaging=0.5, learning_rate=2e-2)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.isbi2012(folder)
    return isbi2012.splits(folder)


def run(folder, **changes):
    folder.mkdir(exist_ok=True)
    return Run(FakeTracker(), lambda _done, _line: None, folder, **({"seed": 1} | changes))


def test_the_loss_falls(splits, tmp_path):
    own = run(tmp_path)
    segmenter.fit(STUDY, TINY, splits, own)
    losses = [values["loss"] for _, values in own.tracker.points]
    assert len(losses) == 5
    assert losses[-1] < 0.8 * losses[0]


def test_the_same_seed_gives_the_same_network(splits, tmp_path):
    short = replace(TINY, epochs=1, steps=2)
    first, second = (segmenter.fit(STUDY, short, splits, run(tmp_path / name)) for name in ("one", "other"))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_network_that_comes_back_holds_the_averaged_weights(splits, tmp_path):
    brief = replace(TINY, epochs=1, steps=4)
    last, averaged = (
        segmenter.fit(STUDY, replace(brief, averaging=momentum), splits, run(tmp_path / f"{momentum}"))
        for momentum in (0.0, 0.9)
    )
    first = segmenter.fit(STUDY, replace(brief, steps=1, learning_rate=0.0), splits, run(tmp_path / "first"))
    start, end, mean = (network.trainable_weights[0].numpy() for network in (first, last, averaged))
    assert 0 < np.abs(mean - start).mean() < np.abs(end - start).mean()


def test_every_fifth_epoch_is_checked_and_kept(splits, tmp_path):
    own = run(tmp_path)
    segmenter.fit(STUDY, replace(TINY, steps=1), splits, own)
    assert [step for step, values in own.tracker.points if "choose_dice" in values] == [5]
    assert (tmp_path / "last.safetensors").is_file()


def test_a_fit_that_broke_off_goes_on_to_the_same_network(splits, tmp_path):
    ten = replace(TINY, epochs=10, steps=2)
    expected = segmenter.fit(STUDY, ten, splits, run(tmp_path / "whole"))

    def broken_off(done, _line):
        if done > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segmenter.fit(STUDY, ten, splits, Run(FakeTracker(), broken_off, tmp_path, seed=1))
    own = run(tmp_path)
    found = segmenter.fit(STUDY, ten, splits, own)
    assert [step for step, _ in own.tracker.points] == [12, 14, 16, 18, 20]
    for one, other in zip(expected.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_fit_that_ended_is_not_done_again(splits, tmp_path):
    brief = replace(TINY, epochs=1, steps=2)
    expected = segmenter.fit(STUDY, brief, splits, run(tmp_path))
    again = run(tmp_path, minutes=1)
    found = segmenter.fit(STUDY, brief, splits, again)
    assert (again.tracker.points, list(again.course)) == ([], ["loss"])
    for one, other in zip(expected.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_half_of_the_views_are_lessons(splits):
    labelled = [segmenter.pair(STUDY, TINY, sample) for sample in splits.fit]
    lesson = segmenter.lesson(TINY, np.zeros((40, 40), np.uint8), np.full((40, 40), 0.3, np.float32))
    _, targets = segmenter._batch([labelled, [lesson]], TINY, np.random.default_rng(1))
    assert [bool((target[0] == np.float32(0.3)).all()) for target in targets] == [False, True, False, True]


def test_a_fit_begins_with_given_weights(splits, tmp_path):
    brief = replace(TINY, epochs=1, steps=1, learning_rate=0.0)
    start = segmenter.fit(STUDY, brief, splits, run(tmp_path / "start")).get_weights()
    found = segmenter.fit(STUDY, brief, splits, run(tmp_path, seed=2), start)
    np.testing.assert_allclose(found.get_weights()[0], start[0], rtol=1e-6)


def test_without_epochs_the_given_weights_stay_as_they_are(splits, tmp_path):
    start = segmenter.fit(STUDY, replace(TINY, epochs=1, steps=1), splits, run(tmp_path / "start")).get_weights()
    found = segmenter.fit(STUDY, replace(TINY, epochs=0), splits, run(tmp_path, seed=2), start)
    assert all((one == other).all() for one, other in zip(found.get_weights(), start, strict=True))


def test_a_recipe_without_epochs_wants_a_version_to_begin_with(splits, tmp_path):
    with pytest.raises(InvalidInput, match="name a version to begin with by --start"):
        segmenter.fit(STUDY, replace(TINY, epochs=0), splits, run(tmp_path))


def test_weights_of_another_network_are_refused(splits, tmp_path):
    with pytest.raises(InvalidInput, match=r"none of unet \(4, 8\)"):
        segmenter.fit(STUDY, TINY, splits, run(tmp_path), [np.zeros(3, np.float32)])


def test_a_boundary_weighs_more_where_it_is_thin(splits):
    _, target = segmenter.pair(STUDY, replace(TINY, border=4.0), splits.fit[0])
    weights, on = target[..., 1], target[..., 0] == 1
    assert (weights[~on] == 1).all()
    assert 1 < weights[on].max() <= 5


def test_a_sample_prediction_is_kept(splits, tmp_path):
    own = run(tmp_path)
    segmenter.fit(STUDY, replace(TINY, epochs=1, steps=1), splits, own)
    assert {name: image.shape for name, image in own.tracker.pictures.items()} == {"18": (64, 64, 3)}


def test_minutes_stop_the_fit_and_bring_the_rate_down(splits, tmp_path):
    shares = []
    own = Run(FakeTracker(), lambda done, _line: shares.append(done), tmp_path, seed=1, minutes=0.01)
    segmenter.fit(STUDY, replace(TINY, epochs=10_000, steps=2), splits, own)
    assert 1 <= len(shares) < 10_000
    assert shares[-1] == 1.0


def test_the_baseline_takes_whole_images_at_a_constant_rate(splits, tmp_path):
    seed = replace(STUDY.recipes["seed"], filters=(2, 2, 4), epochs=1, steps=2, augmentation=Augmentation())
    network = segmenter.fit(STUDY, seed, splits, run(tmp_path))
    assert network.output_shape == (None, 1, 256, 256)


def test_lungs_from_two_masks_are_one_foreground(tmp_path):
    files = []
    for number, columns in enumerate((slice(0, 8), slice(24, 32))):
        mask = np.zeros((32, 32), np.uint8)
        mask[:, columns] = 255
        files.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(files[-1]), mask)
    cv2.imwrite(str(tmp_path / "x.png"), np.arange(1024, dtype=np.uint8).reshape(32, 32))
    sample = Sample(tmp_path / "x.png", "own", "x", masks=tuple(files))
    image, target = segmenter.pair(replace(STUDY, foreground_value=255), TINY, sample)
    mask, weight = target[..., 0], target[..., 1]
    assert (mask.mean(), set(np.unique(mask)), set(np.unique(weight))) == (0.5, {0, 1}, {1})
    assert (image.mean(), image.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))


def test_a_squeezed_mask_lies_where_it_lay(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[11:53, 11:53] = 255
    for name in ("mask.png", "x.png"):
        cv2.imwrite(str(tmp_path / name), mask)
    sample = Sample(tmp_path / "x.png", "own", "x", masks=(tmp_path / "mask.png",))
    whole = replace(TINY, view="resize", size=24)
    _, target = segmenter.pair(replace(STUDY, foreground_value=255), whole, sample)
    np.testing.assert_array_equal(target[..., 0], target[::-1, ::-1, 0])


def test_nothing_to_fit_on_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no samples to fit"):
        segmenter.fit(STUDY, TINY, Splits((), (), ()), run(tmp_path))

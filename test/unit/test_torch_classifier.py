from collections import Counter, OrderedDict
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from bioseg import studies
from bioseg.datasets import Sample, Splits, kinds
from bioseg.datasets.augment_picture import PictureView
from bioseg.errors import DatasetError, InvalidInput
from bioseg.study import ClassifierRecipe
from bioseg.testing import twins
from bioseg.testing.fake_tracker import FakeTracker
from bioseg.training import Run, torch_classifier

KINDS = studies.get("kinds")
STUDY = replace(KINDS, drawn=replace(KINDS.drawn, fit=range(16)))
TINY = ClassifierRecipe(side=32, epochs=5, steps=8, batch=16, learning_rate=1e-2, averaging=0.5)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twins.write_all(folder)
    return kinds.splits(folder)


class Build:
    """Builds a network of one convolution and remembers whether pretrained weights were wanted."""

    def __init__(self):
        self.pretrained = []
        self.features = None

    def __call__(self, architecture, classes, side, *, pretrained):
        self.pretrained.append(pretrained)
        features = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.features = {name: tensor.clone() for name, tensor in features.state_dict().items()}
        return nn.Sequential(OrderedDict(features=features, head=nn.Linear(16, classes)))


def run(folder, **changes):
    folder.mkdir(exist_ok=True)
    return Run(FakeTracker(), lambda _done, _line: None, folder, **({"seed": 1} | changes))


def test_the_loss_falls(splits, tmp_path):
    own = run(tmp_path)
    torch_classifier.fit(STUDY, TINY, splits, own, Build())
    losses = [values["loss"] for _, values in own.tracker.points]
    assert len(losses) == 5
    assert losses[-1] < 0.9 * losses[0]


def test_the_same_seed_gives_the_same_network(splits, tmp_path):
    short = replace(TINY, epochs=1, steps=2)
    first, second = (
        torch_classifier.fit(STUDY, short, splits, run(tmp_path / name), Build()) for name in ("one", "other")
    )
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


def test_a_fit_begins_with_given_weights(splits, tmp_path):
    still = replace(TINY, epochs=1, steps=1, learning_rate=0.0)
    first = torch_classifier.fit(STUDY, still, splits, run(tmp_path / "first", seed=2), Build())
    second = torch_classifier.fit(STUDY, still, splits, run(tmp_path), Build(), first.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


def test_weights_of_another_network_are_refused(splits, tmp_path):
    with pytest.raises(InvalidInput, match="is no resnet18 of these classes"):
        torch_classifier.fit(STUDY, TINY, splits, run(tmp_path), Build(), {"head.weight": torch.zeros(3)})


def test_a_pretrained_network_keeps_its_features_while_the_head_settles(splits, tmp_path):
    build = Build()
    recipe = replace(TINY, pretrained=True, head_epochs=1, epochs=0)
    fitted = torch_classifier.fit(STUDY, recipe, splits, run(tmp_path), build)
    assert build.pretrained == [True]
    kept = fitted.features.state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in build.features.items())


def test_then_all_of_a_pretrained_network_is_tuned_at_a_tenth_of_the_rate():
    head, whole = torch_classifier.phases(replace(TINY, pretrained=True, head_epochs=2), minutes=8)
    assert (head.parts, head.learning_rate, head.steps, head.minutes) == (("head",), 1e-2, 16, 2)
    assert (whole.parts, whole.learning_rate, whole.steps, whole.minutes) == (("features", "head"), 1e-3, 40, 6)


def test_without_pretrained_weights_there_is_one_phase():
    (phase,) = torch_classifier.phases(TINY, minutes=None)
    assert (phase.parts, phase.learning_rate, phase.steps) == (("features", "head"), 1e-2, 40)


def test_classes_are_drawn_evenly_and_sources_by_the_fourth_root_of_their_size():
    red, green = np.zeros((2, 20, 20, 3), np.uint8)
    red[..., 0] = green[..., 1] = 200
    pools = {0: {"large": [red] * 256, "small": [green]}, 6: {"one": [green]}}
    recipe = replace(TINY, side=16, views={STUDY.classes[0]: PictureView(gray=0)})
    batches = torch_classifier.batches(pools, STUDY, recipe, np.random.default_rng(0))
    labels, reds = Counter(), Counter()
    for image, label in islice(batches, 60):
        mean = image[label == 0].mean(dim=(2, 3))
        labels.update(label.tolist())
        reds.update((mean[:, 0] > mean[:, 1]).tolist())
    assert labels[0] / labels.total() == pytest.approx(0.5, abs=0.05)
    # the roots are 4 and 1
    assert reds[True] / reds.total() == pytest.approx(0.8, abs=0.06)


def test_drawn_pictures_are_a_source_of_their_class(splits):
    pools = torch_classifier.pools(STUDY, splits.fit, 96)
    assert len(pools[KINDS.classes.index("other")]["synthetic_other"]) == 14
    microscopy = pools[KINDS.classes.index("membrane EM")]
    assert len(microscopy["synthetic_sections"]) == len(microscopy["synthetic_cells"]) == 1


def test_every_fifth_epoch_is_checked_and_kept(splits, tmp_path):
    own = run(tmp_path)
    torch_classifier.fit(STUDY, replace(TINY, steps=1), splits, own, Build())
    assert [step for step, values in own.tracker.points if "choose_accuracy" in values] == [5]
    assert (tmp_path / "last.safetensors").is_file()


def test_a_fit_that_ended_is_not_done_again(splits, tmp_path):
    short = replace(TINY, epochs=1, steps=2)
    expected = torch_classifier.fit(STUDY, short, splits, run(tmp_path), Build())
    again = run(tmp_path)
    found = torch_classifier.fit(STUDY, short, splits, again, Build())
    assert (again.tracker.points, list(again.course)) == ([], ["loss", "accuracy"])
    assert all(torch.equal(one, other) for one, other in zip(expected.parameters(), found.parameters(), strict=True))


def test_the_file_of_another_fit_is_refused(splits, tmp_path):
    short = replace(TINY, epochs=1, steps=2)
    torch_classifier.fit(STUDY, short, splits, run(tmp_path), Build())
    with pytest.raises(InvalidInput, match="of a fit with other settings or data"):
        torch_classifier.fit(STUDY, short, splits, run(tmp_path, seed=2), Build())


def test_a_network_begins_with_what_it_learnt_from_related_samples(splits, tmp_path):
    related = tuple(sample for sample in splits.fit if sample.label in {"photo", "texture"})
    first = replace(TINY, epochs=1, steps=3)
    still = replace(TINY, epochs=1, steps=1, learning_rate=0.0, related=first)
    found = torch_classifier.fit(STUDY, still, replace(splits, related=related), run(tmp_path), Build())
    study = replace(STUDY, classes=("photo", "texture"), drawn=None)
    learnt = torch_classifier.fit(study, first, Splits(related, (), ()), run(tmp_path / "alone"), Build())
    assert found.head.out_features == len(STUDY.classes)
    assert torch.equal(found.features[0].weight, learnt.features[0].weight)


def test_a_network_may_expect_the_classes_as_often_as_they_are_sampled(splits, tmp_path):
    few = replace(splits, fit=tuple(s for s in splits.fit if s.label in {"photo", "texture"}), choose=())
    study = replace(STUDY, classes=("photo", "texture"), drawn=None)
    brief = replace(TINY, epochs=1, steps=1)
    even = torch_classifier.fit(study, brief, few, run(tmp_path / "even"), Build())
    sampled = torch_classifier.fit(study, replace(brief, prior="sampled"), few, run(tmp_path / "sampled"), Build())
    photos = np.mean([sample.label == "photo" for sample in few.fit])
    expected = np.log([photos, 1 - photos])
    np.testing.assert_allclose((sampled.head.bias - even.head.bias).detach(), expected, rtol=1e-4)


def test_without_related_samples_there_is_nothing_to_learn_first(splits, tmp_path):
    with pytest.raises(DatasetError, match="no related samples for kinds"):
        torch_classifier.fit(STUDY, replace(TINY, related=TINY), splits, run(tmp_path), Build())


def test_a_picture_of_each_class_is_kept_with_what_it_is_taken_for(splits, tmp_path):
    own = run(tmp_path)
    torch_classifier.fit(STUDY, replace(TINY, epochs=1, steps=1), splits, own, Build())
    assert {name.split(" taken for ")[0] for name in own.tracker.pictures} == {sample.label for sample in splits.choose}


def test_minutes_stop_the_fit(splits, tmp_path):
    shares = []
    own = Run(FakeTracker(), lambda done, _line: shares.append(done), tmp_path, seed=1, minutes=0.005)
    torch_classifier.fit(STUDY, replace(TINY, epochs=10_000, steps=1), splits, own, Build())
    assert 1 <= len(shares) < 10_000
    assert shares == sorted(shares)  # the clock may pass the end between the last report and the look that stops


def test_nothing_to_fit_on_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no samples to fit"):
        torch_classifier.fit(STUDY, TINY, Splits((), (), ()), run(tmp_path), Build())


def test_a_label_outside_the_classes_is_refused(tmp_path):
    strange = Splits((Sample(tmp_path / "a.png", "own", "a", label="sketch"),), (), ())
    with pytest.raises(DatasetError, match="'sketch'"):
        torch_classifier.fit(STUDY, TINY, strange, run(tmp_path), Build())

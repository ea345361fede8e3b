"""Classifiers that tell where their evidence lies."""

import numpy as np
import pytest
import torch

from bioseg import studies
from bioseg.bundles import torch_export
from bioseg.errors import InvalidInput
from bioseg.inference import openvino_runtime, torch_runtime
from bioseg.models.torch_classifiers import classifier, logits
from bioseg.models.torch_cnn_attention import GrayStandard
from bioseg.runtime import proved
from bioseg.study import ClassifierRecipe
from bioseg.training.contracts import draft
from bioseg.training.packing import sample_input

BRAIN = studies.get("brain")
PLACES = {"cnn": 2, "attention": 2, "cnn_attention": 2, "vgg16": 1}


@pytest.mark.parametrize(("architecture", "places"), PLACES.items())
def test_evidence_is_given_by_place(architecture, places):
    with torch.device("meta"):  # no weights are drawn: VGG has many
        model, batch = classifier(architecture, 3, 32).eval(), torch.empty(2, 3, 32, 32)
    assert model(batch).shape == (2, 3, places, places)


def test_logits_are_the_mean_of_the_evidence():
    evidence = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]], [[0.0, 0.0], [0.0, 2.0]]]])
    assert logits(evidence).tolist() == [[4.0, 0.5]]


def test_what_has_no_places_is_logits_already():
    assert logits(torch.tensor([[1.0, 2.0]])).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("architecture", ["cnn", "attention", "cnn_attention"])
def test_brightness_and_contrast_change_nothing(architecture):
    torch.manual_seed(2)
    model, image = classifier(architecture, 2, 32).eval(), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(0.5 * image + 0.3), model(image), rtol=0.02, atol=0.02)


def test_a_picture_without_contrast_becomes_zeros():
    assert GrayStandard()(torch.full((1, 3, 8, 8), 0.7)).abs().max() < 1e-3


@pytest.mark.parametrize("architecture", ["cnn", "attention", "cnn_attention"])
@pytest.mark.parametrize("runtime", [openvino_runtime, torch_runtime])
def test_a_bundle_gives_what_the_network_gives(architecture, runtime, tmp_path):
    torch.manual_seed(1)
    contract = draft(BRAIN, ClassifierRecipe(architecture=architecture, side=32), "v1")
    model, sample = classifier(architecture, 2, 32), sample_input(contract)
    bundle = torch_export.write(model, contract, tmp_path / "v1", sample, metrics={}, provenance={})
    torch_export.round_to_float16(model)
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(np.ascontiguousarray(sample.transpose(0, 3, 1, 2)))).numpy()
    proved(bundle, runtime.load(bundle, 1))
    found = runtime.load(bundle, 1)(np.concatenate([sample, sample]))
    np.testing.assert_allclose(found, np.repeat(expected.transpose(0, 2, 3, 1), 2, axis=0), atol=1e-5)


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match=r"resnet19.*cnn_attention"):
        classifier("resnet19", 2, 32)


def test_there_are_no_pretrained_weights_of_the_small_ones():
    with pytest.raises(InvalidInput, match="no pretrained weights of 'cnn'"):
        classifier("cnn", 2, 32, pretrained=True)

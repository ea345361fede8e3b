"""The networks that segmenters are built of: how they relate, and that they can be served."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bioseg.bundles import Contract
from bioseg.errors import BundleError
from bioseg.inference import keras_runtime, openvino_runtime, torch_runtime
from bioseg.study import SegmenterRecipe
from bioseg.training import keras_segmenter, torch_segmenter

RUNTIMES = {"keras": keras_runtime, "torch": torch_runtime}
FRAMEWORKS = {"keras": keras_segmenter, "torch": torch_segmenter}
TINY = SegmenterRecipe(filters=(4, 8), size=16, view="resize")
RECIPES = {
    "unet in colour": replace(TINY, channels=3),
    "bcdunet": replace(TINY, architecture="bcdunet"),
    "torch unet in colour": replace(TINY, framework="torch", channels=3),
}


def contract_of(recipe):
    return Contract(
        study="own",
        version="v1",
        task="segmentation",
        framework=recipe.framework,
        architecture=recipe.architecture,
        axes="NCHW",
        channels=recipe.channels,
        normalisation="standard",
        side=recipe.size,
        classes=("lung",),
    )


def batch_of(recipe):
    return np.random.default_rng(3).standard_normal((2, recipe.size, recipe.size, recipe.channels), np.float32)


def exported(recipe, folder):
    network = FRAMEWORKS[recipe.framework].built(recipe, seed=1)
    # Keras is imported there, and must know its backend before
    export = importlib.import_module(f"bioseg.bundles.{recipe.framework}_export")
    return export.write(network, contract_of(recipe), folder, batch_of(recipe)[:1], metrics={}, provenance={})


@pytest.mark.parametrize("name", RECIPES)
def test_served_and_reference_runtime_give_what_the_bundle_promises(name, tmp_path):
    bundle = exported(RECIPES[name], tmp_path / "v1")
    given, expected = bundle.sample()
    assert expected.shape == (1, 16, 16, 1)
    for runtime in (openvino_runtime, RUNTIMES[bundle.contract.framework]):
        np.testing.assert_allclose(runtime.load(bundle, 1)(given), expected, atol=1e-5)


@pytest.mark.parametrize("name", [*RECIPES, "plain unet"])
def test_a_fit_gets_probabilities_in_full_precision_whatever_it_convolves_in(name):
    baseline = replace(TINY, architecture="plain_unet", filters=(4, 8, 8), size=256)
    recipe = RECIPES.get(name, baseline)
    framework = FRAMEWORKS[recipe.framework]
    learns = framework.learnable(recipe, framework.built(recipe, seed=1).get_weights())
    probability = learns.run(torch.from_numpy(np.moveaxis(batch_of(recipe), -1, 1).copy()))
    assert probability.dtype == torch.float32
    assert {weight.dtype for weight in learns.weights} == {torch.float32}


def test_networks_built_to_be_kept_stay_in_full_precision_beside_one_that_is_fitted():
    framework, recipe = keras_segmenter, RECIPES["unet in colour"]
    framework.learnable(recipe, framework.built(recipe, seed=1).get_weights())
    kept = framework.built(recipe, seed=1)
    assert {layer.dtype_policy.name for layer in kept.layers} == {"float32"}


def test_the_unet_of_torch_is_that_of_keras():
    one = keras_segmenter.built(replace(TINY, filters=(4, 8, 16)), seed=1)
    other = torch_segmenter.built(replace(TINY, framework="torch", filters=(4, 8, 16)), seed=1)
    weights = [weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight for weight in one.get_weights()]
    other.set_weights([np.ascontiguousarray(weight) for weight in weights])
    contract, batch = contract_of(TINY), batch_of(TINY)
    expected = keras_segmenter.predictor(one, contract)(batch)
    np.testing.assert_allclose(torch_segmenter.predictor(other, contract)(batch), expected, atol=1e-5)


def test_torch_builds_no_other_segmenter(tmp_path):
    bundle = exported(RECIPES["torch unet in colour"], tmp_path / "v1")
    other = bundle.contract.model_copy(update={"architecture": "bcdunet"})
    manifest = bundle.manifest.model_copy(update={"contract": other})
    with pytest.raises(BundleError, match=r"bcdunet.*torch builds: unet"):
        torch_runtime.load(replace(bundle, manifest=manifest), 1)


def test_weights_of_another_network_are_no_unet(tmp_path):
    bundle = exported(RECIPES["torch unet in colour"], tmp_path / "v1")
    save_file({"head.weight": torch.zeros(2)}, bundle.weights)
    with pytest.raises(BundleError, match="does not fit a unet"):
        torch_runtime.load(bundle, 1)

"""A bundle from a stranger is refused before any of it runs, and before a file outside of it is opened."""

import contextlib
import json
import pickle
import random
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioseg import bundles
from bioseg.bundles import MANIFEST, ONNX, SAMPLE, WEIGHTS, Bundle, Manifest, inspection
from bioseg.errors import BundleError
from bioseg.inference import keras_runtime, openvino_runtime, torch_runtime
from bioseg.registry.folder_registry import FolderRegistry
from bioseg.testing import evil_bundles, evil_keras
from bioseg.testing.evil_bundles import PRIVATE, TRACE, Forge, rehash

STUDIES = {"keras": "membrane", "torch": "kinds"}
FORGED = {
    "membrane": evil_bundles.FILES | evil_bundles.SAMPLES | evil_keras.CONFIGS | evil_keras.ARCHIVES,
    "kinds": evil_bundles.GRAPHS | evil_bundles.TENSORS,
}
FORGERIES = [(study, name) for study, forgeries in FORGED.items() for name in forgeries]
KERAS = evil_keras.CONFIGS | evil_keras.ARCHIVES | evil_keras.HDF5S


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the bundle, with files that nobody may read."""
    folder = tmp_path / "outside"
    folder.mkdir()
    np.arange(4, dtype=np.float32).tofile(folder / PRIVATE)
    with h5py.File(folder / "private.h5", "w") as file:
        file["private"] = np.arange(4, dtype=np.float32)
    return folder


def copied(models: Path, study: str, tmp_path: Path) -> Path:
    return shutil.copytree(models / study / "tiny", tmp_path / "bundle")


def forged(folder: Path, outside: Path, forge: Forge) -> Path:
    forge(folder, outside)
    if (folder / MANIFEST).is_file():
        rehash(folder)
    return folder


def unread(folder: Path) -> Bundle:
    """A bundle that nobody has checked yet."""
    return Bundle(folder, Manifest.model_validate(json.loads((folder / MANIFEST).read_bytes())))


def refused(error: pytest.ExceptionInfo[BundleError], outside: Path) -> bool:
    """One short line that names a file, and no trace of a payload."""
    text = str(error.value)
    return text.isprintable() and len(text) < 1000 and not (outside / TRACE).exists()


@pytest.mark.parametrize("study", STUDIES.values())
def test_honest_bundles_are_read(tiny_models, study):
    assert bundles.read(tiny_models / study / "tiny").contract.study == study


@pytest.mark.parametrize(("study", "name"), FORGERIES, ids=[name for _, name in FORGERIES])
def test_a_forged_bundle_is_not_read(tiny_models, tmp_path, outside, study, name):
    folder = forged(copied(tiny_models, study, tmp_path), outside, FORGED[study][name])

    with pytest.raises(BundleError) as error:
        bundles.read(folder)

    assert refused(error, outside)


@pytest.mark.parametrize("name", evil_bundles.MANIFESTS)
def test_a_forged_manifest_is_not_read(tiny_models, tmp_path, outside, name):
    folder = copied(tiny_models, "membrane", tmp_path)
    evil_bundles.MANIFESTS[name](folder, outside)

    with pytest.raises(BundleError) as error:
        bundles.read(folder)

    assert refused(error, outside)


@pytest.mark.parametrize("name", evil_bundles.GRAPHS)
def test_openvino_never_sees_a_forged_graph(tiny_models, tmp_path, outside, name):
    folder = forged(copied(tiny_models, "kinds", tmp_path), outside, evil_bundles.GRAPHS[name])

    with pytest.raises(BundleError) as error:
        openvino_runtime.load(unread(folder), 1)

    assert refused(error, outside)
    assert "OpenVINO cannot run" not in str(error.value)


@pytest.mark.parametrize("name", evil_bundles.TENSORS)
def test_torch_never_sees_forged_tensors(tiny_models, tmp_path, outside, name):
    folder = forged(copied(tiny_models, "kinds", tmp_path), outside, evil_bundles.TENSORS[name])

    with pytest.raises(BundleError) as error:
        torch_runtime.load(unread(folder), 1)

    assert refused(error, outside)
    assert "does not fit" not in str(error.value)


@pytest.mark.parametrize("name", KERAS)
def test_keras_never_sees_a_forged_network(tiny_models, tmp_path, outside, name):
    folder = forged(copied(tiny_models, "membrane", tmp_path), outside, KERAS[name])

    with pytest.raises(BundleError) as error:
        keras_runtime.load(unread(folder), 1)

    assert refused(error, outside)
    assert "Keras cannot load" not in str(error.value)


@pytest.mark.parametrize("name", evil_bundles.SAMPLES)
def test_a_forged_sample_is_not_loaded(tiny_models, tmp_path, outside, name):
    folder = forged(copied(tiny_models, "membrane", tmp_path), outside, evil_bundles.SAMPLES[name])

    with pytest.raises(BundleError) as error:
        unread(folder).sample()

    assert refused(error, outside)


class TestRegistry:
    @pytest.fixture
    def registry(self, tmp_path: Path) -> FolderRegistry:
        return FolderRegistry(tmp_path / "shipped", tmp_path / "trained")

    @pytest.mark.parametrize("name", ["lambda", "member above the folder", "pickled array", "link model.onnx"])
    def test_a_forged_bundle_is_not_taken_in(self, registry, tiny_models, tmp_path, outside, name):
        folder = forged(copied(tiny_models, "membrane", tmp_path), outside, FORGED["membrane"][name])

        with pytest.raises(BundleError):
            registry.add(folder)

        assert not (tmp_path / "trained").exists()

    def test_what_is_taken_in_belongs_to_whoever_took_it(self, registry, tiny_models, tmp_path):
        folder = copied(tiny_models, "membrane", tmp_path)
        (folder / ONNX).chmod(0o777)

        assert not registry.add(folder).onnx.stat().st_mode & 0o111


class TestPayloads:
    """The forgeries are live: loaded carelessly, they do what they are for."""

    def test_the_lambda_runs(self, tiny_models, tmp_path, outside):
        import keras

        evil_keras.LAMBDA(copied(tiny_models, "membrane", tmp_path), outside)
        keras.saving.load_model(tmp_path / "bundle" / WEIGHTS["keras"], compile=False, safe_mode=False)

        assert (outside / TRACE).exists()

    def test_the_pickle_runs(self, outside):
        pickle.loads(evil_bundles.pickled(outside))

        assert (outside / TRACE).exists()

    def test_the_array_runs(self, tiny_models, tmp_path, outside):
        folder = copied(tiny_models, "membrane", tmp_path)
        evil_bundles.SAMPLES["pickled array"](folder, outside)
        with np.load(folder / SAMPLE, allow_pickle=True) as arrays:
            arrays["input"]

        assert (outside / TRACE).exists()

    @pytest.mark.parametrize(
        "name", ["link into another file", "array stored in another file", "array of pieces of another file"]
    )
    def test_hdf5_reads_a_private_file(self, tiny_models, tmp_path, outside, name):
        folder = copied(tiny_models, "membrane", tmp_path)
        evil_keras.HDF5S[name](folder, outside)
        with zipfile.ZipFile(folder / WEIGHTS["keras"]) as archive:
            archive.extract(evil_keras.HDF5, tmp_path)
        with h5py.File(tmp_path / evil_keras.HDF5) as file:
            assert file["layers/conv2d/vars/0"][:].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", [ONNX, SAMPLE, *WEIGHTS.values()])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_damage_is_found_or_harmless(tiny_models, tmp_path, name, seed):
    """Whatever the bytes are, the check ends, with a BundleError or without."""
    numbers = random.Random(seed)
    study = "kinds" if name == WEIGHTS["torch"] else "membrane"
    content = bytearray((tiny_models / study / "tiny" / name).read_bytes())
    places = [*range(min(300, len(content))), *range(max(0, len(content) - 300), len(content))]
    for place in numbers.sample(places, 3):
        content[place] = numbers.randrange(256)
    (tmp_path / name).write_bytes(content)
    with contextlib.suppress(BundleError):
        inspection.check(tmp_path / name)


@pytest.mark.parametrize("architecture", ["unet", "plain_unet"])
def test_every_architecture_is_made_of_allowed_layers(architecture, tiny_models, tmp_path):
    from bioseg.models import keras_unet

    getattr(keras_unet, architecture)((4, 8)).save(tmp_path / WEIGHTS["keras"])

    inspection.check(tmp_path / WEIGHTS["keras"])

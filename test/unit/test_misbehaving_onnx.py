"""Graphs that misbehave on what is larger than their sample: as bundles they are in order, apart they do no harm."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bioseg import bundles
from bioseg.bundles import Bundle
from bioseg.errors import ArmFailed
from bioseg.inference.confined_runtime import Confined
from bioseg.runtime import proved
from bioseg.testing import misbehaving_onnx, stand_ins

TECHNOLOGY = "bioseg.inference.openvino_runtime"
LARGER = np.random.default_rng(3).random((1, 64, 64, 1), np.float32)


@pytest.fixture(params=misbehaving_onnx.WAYS)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Bundle:
    return misbehaving_onnx.write(tmp_path, request.param)


@pytest.fixture
def network(bundle: Bundle) -> Iterator[Confined]:
    started = Confined(bundle, TECHNOLOGY, 2, lambda _: 2.0)
    yield started
    started.close()


def test_the_bundle_is_in_order(bundle: Bundle) -> None:
    assert bundle == bundles.read(bundle.path)


def test_the_sample_is_reproduced(bundle: Bundle, network: Confined) -> None:
    batch, expected = proved(bundle, network).bundle.sample()
    np.testing.assert_array_equal(stand_ins.dark_is_membrane(batch), expected)


def test_a_larger_image_goes_wrong_as_the_name_says(bundle: Bundle, network: Confined) -> None:
    told = {"crashes": "SIGSEGV", "hangs": "SIGKILL after 2", "bloats": "failed: "}
    with pytest.raises(ArmFailed, match=told[bundle.contract.version]):
        network(LARGER)


def test_with_one_thread_too_a_failure_is_no_result(tmp_path: Path) -> None:
    network = Confined(misbehaving_onnx.write(tmp_path, "bloats"), TECHNOLOGY, 1, lambda _: 30.0)
    network(LARGER[:, : misbehaving_onnx.SIDE, : misbehaving_onnx.SIDE])
    with pytest.raises(ArmFailed, match=r"gave \(1, 16, 16, 1\) for \(1, 64, 64, 1\)"):
        network(LARGER)
    network.close()

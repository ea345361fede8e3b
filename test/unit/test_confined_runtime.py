"""A version under trial in a process of its own: as good as in this one, and harmless when it is not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bioseg import bundles, helped
from bioseg.bundles import Bundle
from bioseg.errors import ArmFailed
from bioseg.inference import Floats, openvino_runtime
from bioseg.inference.confined_runtime import Confined
from bioseg.testing import misbehaving, stand_ins

TECHNOLOGY = "bioseg.testing.misbehaving"
IMAGE = np.random.default_rng(3).random((1, 32, 48, 1), np.float32)


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[[str], Bundle]:
    def write(version: str) -> Bundle:
        stand_ins.challenger(tmp_path, version)
        return bundles.read(tmp_path / "membrane" / version)

    return write


@pytest.fixture
def confined(bundle: Callable[[str], Bundle]) -> Iterator[Callable[..., Confined]]:
    started: list[Confined] = []

    def start(version: str, seconds: float = 30.0) -> Confined:
        started.append(Confined(bundle(version), TECHNOLOGY, 1, lambda _: seconds))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_gives_what_the_network_gives_here(confined: Callable[..., Confined]) -> None:
    np.testing.assert_array_equal(stand_ins.dark_is_membrane(IMAGE), confined("good")(IMAGE))


def test_gives_what_a_real_network_gives_here(tiny_models: Path) -> None:
    real = bundles.read(tiny_models / "membrane" / "tiny")
    predict = Confined(real, "bioseg.inference.openvino_runtime", 1, lambda _: 60.0)
    np.testing.assert_array_equal(openvino_runtime.load(real, 1)(IMAGE), predict(IMAGE))
    predict.close()


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("crashes", "SIGABRT"),
        ("hangs", "SIGKILL after 0.5 s"),
        ("bloats", "MemoryError"),
        ("raises", "RuntimeError: no kernel for this shape"),
        ("gives-nan", "not finite"),
    ],
)
def test_what_goes_wrong_is_told(confined: Callable[..., Confined], way: str, reason: str) -> None:
    assert way in misbehaving.WAYS
    with pytest.raises(ArmFailed, match=reason):
        confined(way, seconds=0.5 if way == "hangs" else 30.0)(IMAGE)


@pytest.mark.parametrize("way", misbehaving.WAYS)
def test_the_next_call_is_answered(confined: Callable[..., Confined], way: str) -> None:
    network = confined(way, seconds=0.5 if way == "hangs" else 30.0)
    with pytest.raises(ArmFailed):
        network(IMAGE)
    sample: Floats = IMAGE[:, :16, :16]
    np.testing.assert_array_equal(stand_ins.dark_is_membrane(sample), network(sample))


def test_a_network_that_cannot_be_loaded_is_named(bundle: Callable[[str], Bundle]) -> None:
    with pytest.raises(ArmFailed, match=r"membrane good cannot be loaded"):
        Confined(bundle("good"), "bioseg.inference.openvino_runtime", 1, lambda _: 30.0)


def test_its_cpu_seconds_belong_to_the_caller(confined: Callable[..., Confined]) -> None:
    network, before = confined("good"), helped.cpu_seconds()
    network(np.zeros((1, 1024, 1024, 1), np.float32))
    assert helped.cpu_seconds() > before


def test_its_peak_memory_is_its_own(confined: Callable[..., Confined]) -> None:
    ballast = np.ones(2**27)  # one GiB of this process, which is not the child's
    network = confined("good")
    network(IMAGE)
    assert ballast.nbytes / 2**20 > network.peak_memory_mb > 10


def test_a_closed_one_leaves_no_process(confined: Callable[..., Confined]) -> None:
    network = confined("good")
    child = network._child
    network.close()
    assert child is not None
    assert not child.lives

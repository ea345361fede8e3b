"""Time, memory and sameness of two versions, measured on small real bundles and on stand-ins."""

import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bioseg import bundles
from bioseg.bundles import Bundle
from bioseg.errors import ProcessFailed
from bioseg.gate import footprint, latency, memory, parity
from bioseg.gate.scores import Both
from bioseg.inference import openvino_runtime
from bioseg.runtime import Arm
from bioseg.settings import Settings
from bioseg.testing import stand_ins, twins

SECTION = twins.membrane_section(3, 64)[0]


@pytest.fixture(scope="module")
def tiny(tiny_models: Path) -> Arm:
    bundle = bundles.read(tiny_models / "membrane/tiny")
    return Arm(bundle, openvino_runtime.load(bundle, 1))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, threads=1)


def stand_in(seconds: float = 0.0) -> Arm:
    """A network that takes its time."""

    def predict(batch):
        time.sleep(seconds)
        return stand_ins.dark_is_membrane(batch)

    return Arm(Bundle(Path("none"), bundles.Manifest(created="", contract=stand_ins.MEMBRANE, files={})), predict)


def altered(bundle: Bundle, folder: Path, **changes: object) -> Bundle:
    """The same files under another contract, sealed."""
    shutil.copytree(bundle.path, folder)
    (folder / bundles.MANIFEST).unlink()
    contract = bundle.contract.model_copy(update=changes)
    return bundles.seal(folder, contract, created="2026-01-01T00:00:00Z", metrics={}, provenance={})


def test_a_slower_version_has_a_ratio_above_one():
    found = latency.ratio(Both(stand_in(0.002), stand_in(0.05)), [SECTION])
    assert 1 < found.low <= found.mean <= found.high


def test_the_order_alternates_on_each_picture():
    ran = []
    first, second = stand_in(), stand_in()
    arms = Both(
        replace(first, predict=lambda batch: (ran.append("champion"), first.predict(batch))[1]),
        replace(second, predict=lambda batch: (ran.append("candidate"), second.predict(batch))[1]),
    )
    latency.ratio(arms, [SECTION])
    assert ["champion", "candidate", "candidate", "champion"] == ran[2:6]


def test_at_least_sixteen_pairs_are_timed():
    assert latency.ratio(Both(stand_in(), stand_in()), [SECTION]).n >= latency.PAIRS


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's")
def test_the_peak_of_a_process_is_its_own(tiny, settings, tmp_path):
    """Not that of the process that started it, which `getrusage` would give."""
    ballast = np.ones(2**25)  # 256 MiB
    peak = memory._peak(tiny, _saved(tmp_path / "section.png"), settings)
    assert 20 < peak < footprint._own_peak() - ballast.nbytes / 2**21


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's")
def test_a_version_that_dies_on_an_image_is_a_failure(tiny, settings, tmp_path):
    with pytest.raises(ProcessFailed, match="ended with 1 on one image"):
        memory.ratio(Both(tiny, tiny), tmp_path / "none.png", settings)


def test_no_ratio_is_told_where_the_system_tells_no_peak(tiny, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(footprint, "STATUS", tmp_path / "none")
    assert memory.ratio(Both(tiny, tiny), _saved(tmp_path / "section.png"), settings) is None


def test_graph_and_weights_of_a_bundle_agree(tiny):
    assert "passed" == parity.check(tiny.bundle, SECTION, 1).state


def test_a_graph_of_other_weights_breaks_parity(tiny, tmp_path):
    strict = altered(tiny.bundle, tmp_path / "strict", tolerance=1e-12)
    assert "broken" == parity.check(strict, SECTION, 1).state


def test_parity_is_not_checked_where_the_graph_computes_in_a_cheaper_precision(tiny, tmp_path):
    cheaper = altered(tiny.bundle, tmp_path / "cheaper", precision="int8")
    assert "not checked" == parity.check(cheaper, SECTION, 1).state


def test_weights_that_cannot_be_loaded_break_parity(tiny_models, tmp_path):
    bundle = bundles.read(tiny_models / "kinds/tiny")
    strange = altered(bundle, tmp_path / "strange", architecture="resnet19")
    found = parity.check(strange, SECTION, 1)
    assert ("broken", True) == (found.state, "resnet19" in found.reason)


def test_parity_is_not_checked_without_the_framework(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioseg.inference.keras_runtime", None)
    assert "not checked" == parity.check(tiny.bundle, SECTION, 1).state


def test_a_sample_that_is_reproduced_passes(tiny):
    assert "passed" == parity.replay(tiny).state


def test_a_sample_that_is_not_reproduced_breaks(tiny):
    assert "broken" == parity.replay(replace(tiny, predict=lambda batch: 1 - tiny.predict(batch))).state


def _saved(file: Path) -> Path:
    from bioseg import images

    file.write_bytes(images.encode_png(SECTION))
    return file

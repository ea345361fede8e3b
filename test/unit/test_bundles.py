"""The bundle on disk: complete, unaltered, or refused."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bioseg import bundles
from bioseg.bundles import Bundle, Contract, card
from bioseg.bundles.sealing import assemble, reseal
from bioseg.errors import BundleError

CONTRACT = Contract(
    study="membrane",
    version="1.0.0",
    task="segmentation",
    framework="keras",
    architecture="unet",
    axes="NCHW",
    channels=1,
    normalisation="standard",
    classes=("membrane",),
)
SAMPLE = (np.zeros((1, 4, 4, 1), np.float32), np.full((1, 4, 4, 1), 0.25, np.float32))
EMPTY_GRAPH = b"\x3a\x00"
FIGURE = {"v_rand": {"mean": 0.974, "low": 0.95, "high": 0.99, "n": 5, "method": "Student t"}}
PROVENANCE = {
    "notice": "Not for diagnosis.",
    "data": [{"name": "isbi2012", "what": "EM | fly", "citation": "Arganda 2015", "licence": "research"}],
    "splits": {"fit": "abc123"},
    "limits": ["Thin sections only."],
    "command": "bioseg train membrane --recipe default",
    "seed": 7,
}


def network(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(EMPTY_GRAPH)
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", '{"module": "keras.src.models.functional", "class_name": "Functional"}')
        archive.writestr("model.weights.h5", b"weights")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return assemble(tmp_path / "membrane/1.0.0", CONTRACT, network, SAMPLE, metrics={}, provenance=PROVENANCE)


class TestRead:
    def test_gives_back_what_was_sealed(self, bundle):
        assert bundles.read(bundle.path) == bundle

    def test_knows_every_file(self, bundle):
        expected = {"model.onnx", "model.keras", "sample.npz", "CARD.md"}
        assert set(bundle.manifest.files) == expected

    def test_gives_the_sample(self, bundle):
        np.testing.assert_array_equal(bundle.sample(), SAMPLE)

    @pytest.mark.parametrize("name", ["model.onnx", "model.keras", "sample.npz", "CARD.md"])
    def test_refuses_an_altered_file(self, bundle, name):
        with (bundle.path / name).open("ab") as stream:
            stream.write(b" ")
        with pytest.raises(BundleError, match=f"{name} was altered"):
            bundles.read(bundle.path)

    def test_refuses_a_missing_file(self, bundle):
        bundle.onnx.unlink()
        with pytest.raises(BundleError, match=r"disagree on: model\.onnx"):
            bundles.read(bundle.path)

    def test_refuses_an_added_file(self, bundle):
        (bundle.path / "extra.pkl").write_bytes(b"")
        with pytest.raises(BundleError, match=r"disagree on: extra\.pkl"):
            bundles.read(bundle.path)

    def test_refuses_a_folder_without_manifest(self, tmp_path):
        with pytest.raises(BundleError, match="is no bundle"):
            bundles.read(tmp_path)

    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}'])
    def test_refuses_a_malformed_manifest(self, bundle, text):
        (bundle.path / "bundle.json").write_text(text)
        with pytest.raises(BundleError, match="malformed"):
            bundles.read(bundle.path)

    def test_refuses_an_unknown_field_of_the_contract(self, bundle):
        file = bundle.path / "bundle.json"
        manifest = json.loads(file.read_text())
        manifest["contract"]["colour"] = "red"
        file.write_text(json.dumps(manifest))
        with pytest.raises(BundleError, match="colour"):
            bundles.read(bundle.path)


@pytest.mark.parametrize("version", ["", "A", "a b", "a/b", "1\n", "x" * 65])
def test_a_contract_refuses_other_version_names(version):
    with pytest.raises(ValueError, match="version"):
        Contract(**{**CONTRACT.model_dump(), "version": version})


class TestAssemble:
    def test_leaves_nothing_when_writing_fails(self, tmp_path):
        def failing(folder):
            network(folder)
            raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            assemble(tmp_path / "membrane/1", CONTRACT, failing, SAMPLE, metrics={}, provenance={})
        assert list((tmp_path / "membrane").iterdir()) == []

    def test_leaves_only_the_bundle(self, bundle):
        assert list(bundle.path.parent.iterdir()) == [bundle.path]

    def test_never_replaces_a_version(self, bundle):
        with pytest.raises(BundleError, match="never changes"):
            assemble(bundle.path, CONTRACT, network, SAMPLE, metrics={}, provenance={})


class TestReseal:
    def test_puts_figures_into_the_manifest(self, bundle):
        assert reseal(bundle, FIGURE).manifest.metrics == FIGURE

    def test_puts_figures_into_the_card(self, bundle):
        resealed = reseal(bundle, FIGURE)
        assert "| v_rand | 0.974 | 0.95 to 0.99 | 5 |" in (resealed.path / "CARD.md").read_text()

    def test_changes_nothing_but_card_and_manifest(self, bundle):
        before = {name: digest for name, digest in bundle.manifest.files.items() if name != "CARD.md"}
        after = reseal(bundle, FIGURE).manifest.files
        assert {name: after[name] for name in before} == before

    def test_keeps_time_and_provenance(self, bundle):
        after = reseal(bundle, FIGURE).manifest
        assert (after.created, after.provenance) == (bundle.manifest.created, bundle.manifest.provenance)


class TestCard:
    @pytest.fixture
    def text(self):
        metrics = {"score": FIGURE, "split": "abc", "computed": "Mean over images."}
        return card.text(CONTRACT, created="2026-01-01", metrics=metrics, provenance=PROVENANCE)

    @pytest.mark.parametrize(
        "line",
        [
            "# membrane 1.0.0",
            "> Not for diagnosis.",
            "Marks membrane in an image: a probability for every pixel.",
            "| isbi2012 | EM \\| fly | Arganda 2015 | research |",
            "| fit | abc123 |",
            "| score v_rand | 0.974 | 0.95 to 0.99 | 5 |",
            "On the samples with hash `abc`. Mean over images.",
            "- Thin sections only.",
            "bioseg train membrane --recipe default",
            "bioseg evaluate membrane --version 1.0.0 --json",
            "bioseg segment IMAGES --study membrane --version 1.0.0 --save overlay --out failures",
            '  "seed": 7',
        ],
    )
    def test_says(self, text, line):
        assert line in text.splitlines()

    def test_says_so_when_nothing_was_recorded(self):
        text = card.text(CONTRACT, created="2026-01-01", metrics={}, provenance={})
        assert text.count("Not recorded.") == 3

    def test_a_classifier_lists_its_classes(self):
        contract = CONTRACT.model_copy(update={"task": "classification", "classes": ("a", "b")})
        text = card.text(contract, created="2026-01-01", metrics={}, provenance={})
        assert "Tells which of these an image is: a, b." in text.splitlines()

    def test_values_of_single_images_are_left_to_the_manifest(self):
        text = card.text(CONTRACT, created="2026-01-01", metrics={**FIGURE, "values": [0.81234]}, provenance={})
        assert "0.81" not in text

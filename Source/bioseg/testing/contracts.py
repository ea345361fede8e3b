"""What every predictor and every registry must do. A test class inherits these tests and gives their fixtures."""

# ruff: noqa: S101 - these are tests

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bioseg.bundles import Bundle, Contract
from bioseg.errors import BundleError, UnknownVersion
from bioseg.inference import Floats, Predictor
from bioseg.registry import Registry

STEPS = 12
"""Side of a batch without a set side, in multiples of the contract."""
CLOSE = 1e-5


class PredictorContract:
    """The tests. `predict` is a loaded network and `contract` the contract of its bundle."""

    @pytest.fixture
    def batch(self, contract: Contract) -> Floats:
        """Two images."""
        side = contract.side or STEPS * contract.multiple
        return np.random.default_rng(1).random((2, side, side, contract.channels), np.float32)

    def test_the_output_has_the_shape_of_the_task(self, predict: Predictor, contract: Contract, batch: Floats) -> None:
        """A probability for every pixel, or for every class a logit or the evidence at each place."""
        found, classes = predict(batch).shape, len(contract.classes)
        places = found[1:3] if contract.evidence == "place" else ()
        maps = (*batch.shape[:3], 1)
        assert found == (maps if contract.task == "segmentation" else (len(batch), *places, classes))

    def test_the_output_is_float32(self, predict: Predictor, batch: Floats) -> None:
        """Whatever the precision inside."""
        assert np.float32 == predict(batch).dtype

    def test_the_output_is_finite(self, predict: Predictor, batch: Floats) -> None:
        """No NaN, no infinity."""
        assert np.isfinite(predict(batch)).all()

    def test_a_segmenter_gives_probabilities(self, predict: Predictor, contract: Contract, batch: Floats) -> None:
        """Between 0 and 1, also for extreme input."""
        if contract.task == "segmentation":
            probability = predict(100 * batch - 50)
            assert 0 <= probability.min() <= probability.max() <= 1

    def test_images_of_a_batch_do_not_see_each_other(self, predict: Predictor, batch: Floats) -> None:
        """Two at once give what each gives alone."""
        alone = np.concatenate([predict(batch[:1]), predict(batch[1:])])
        # sums in another order differ by a share of their largest terms, which a small logit may cancel out of
        np.testing.assert_allclose(predict(batch), alone, rtol=CLOSE, atol=max(CLOSE, 2e-6 * np.abs(alone).max()))

    def test_a_segmenter_takes_any_multiple(self, predict: Predictor, contract: Contract) -> None:
        """Height and width need not be equal."""
        if contract.side is None:
            height, width = STEPS * contract.multiple, (STEPS + 3) * contract.multiple
            batch = np.zeros((1, height, width, contract.channels), np.float32)
            assert (1, height, width, 1) == predict(batch).shape

    def test_a_result_survives_the_next_call(self, predict: Predictor, batch: Floats) -> None:
        """Runtimes reuse their buffers; results are copies."""
        first = predict(batch[:1])
        kept = first.copy()
        predict(batch[1:])
        np.testing.assert_array_equal(kept, first)

    def test_the_input_stays_as_it_is(self, predict: Predictor, batch: Floats) -> None:
        """Callers keep their array."""
        kept = batch.copy()
        predict(batch)
        np.testing.assert_array_equal(kept, batch)

    def test_threads_get_their_own_results(self, predict: Predictor, batch: Floats) -> None:
        """Web workers run several threads."""
        inputs = [batch[:1] * scale for scale in np.linspace(0, 1, 8, dtype=np.float32)]
        expected = [predict(image) for image in inputs]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(predict, inputs))
        np.testing.assert_allclose(found, expected, rtol=CLOSE, atol=CLOSE)


class RegistryContract:
    """The tests. `registry` is empty; `bundle` is sealed and outside of it."""

    def test_a_study_without_bundles_has_no_version(self, registry: Registry) -> None:
        """Unknown studies have none either."""
        assert registry.versions("membrane") == ()

    def test_a_study_without_bundles_has_no_champion(self, registry: Registry) -> None:
        """Nothing serves."""
        assert registry.champion("membrane") is None

    def test_what_is_added_is_listed(self, registry: Registry, bundle: Bundle) -> None:
        """Under the study and version of its contract."""
        registry.add(bundle.path)
        assert (bundle.contract.version,) == registry.versions(bundle.contract.study)

    def test_what_is_added_can_be_opened(self, registry: Registry, bundle: Bundle) -> None:
        """With the same files."""
        registry.add(bundle.path)
        found = registry.open(bundle.contract.study, bundle.contract.version)
        assert bundle.manifest == found.manifest

    def test_the_registry_keeps_a_copy(self, registry: Registry, bundle: Bundle) -> None:
        """The folder that was added may go."""
        assert bundle.path != registry.add(bundle.path).path

    def test_a_version_is_added_once(self, registry: Registry, bundle: Bundle) -> None:
        """A version never changes."""
        registry.add(bundle.path)
        with pytest.raises(BundleError, match=bundle.contract.version):
            registry.add(bundle.path)

    def test_adding_does_not_make_a_champion(self, registry: Registry, bundle: Bundle) -> None:
        """Promotion does."""
        registry.add(bundle.path)
        assert registry.champion(bundle.contract.study) is None

    def test_an_altered_bundle_is_not_added(self, registry: Registry, bundle: Bundle) -> None:
        """Hashes are checked on the way in."""
        (bundle.path / "CARD.md").write_text("better", encoding="utf-8")
        with pytest.raises(BundleError, match="altered"):
            registry.add(bundle.path)

    def test_a_bundle_altered_inside_is_not_opened(self, registry: Registry, bundle: Bundle) -> None:
        """Hashes are checked on the way out."""
        (registry.add(bundle.path).path / "CARD.md").write_text("better", encoding="utf-8")
        with pytest.raises(BundleError, match="altered"):
            registry.open(bundle.contract.study, bundle.contract.version)

    def test_an_unknown_version_names_those_there_are(self, registry: Registry, bundle: Bundle) -> None:
        """The message is the remedy."""
        registry.add(bundle.path)
        with pytest.raises(UnknownVersion, match=bundle.contract.version):
            registry.open(bundle.contract.study, "9.9.9")

    @pytest.mark.parametrize("name", ["", ".", "..", "../membrane", "a/b", "1\n", "A"])
    def test_no_name_leads_out_of_the_registry(self, registry: Registry, bundle: Bundle, name: str) -> None:
        """Neither as a study nor as a version."""
        registry.add(bundle.path)
        for study, version in ((name, bundle.contract.version), (bundle.contract.study, name)):
            with pytest.raises(UnknownVersion):
                registry.open(study, version)

    def test_a_folder_without_manifest_is_not_added(self, registry: Registry, tmp_path: Path) -> None:
        """Nor is a folder that is not there."""
        with pytest.raises(BundleError):
            registry.add(tmp_path / "nothing")

"""The networks that serve: loaded on first use, proved on their own sample."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np

from bioseg.bundles import Bundle, Contract
from bioseg.errors import BundleError, RuntimeUnavailable, UnknownVersion
from bioseg.inference import Predictor
from bioseg.registry import Registry
from bioseg.settings import Settings

Loader = Callable[[Bundle, int], Predictor]


@dataclass(frozen=True, slots=True)
class Arm:
    """A version that serves: its bundle, and its network, loaded."""

    bundle: Bundle
    predict: Predictor

    @property
    def contract(self) -> Contract:
        """How the network is fed and read."""
        return self.bundle.contract


class Runtime:
    """Loaded arms of each study.

    Parameters
    ----------
    settings
        `runtime` and `threads` are used.
    registry
        Where bundles come from; it is asked at every call, so a new champion serves from the next request on.
    load
        Makes a predictor of a bundle with a number of threads; None: the technology that `settings.runtime` names.
    """

    def __init__(self, settings: Settings, registry: Registry, load: Loader | None = None) -> None:
        self._registry = registry
        self._load = load or loader(settings.runtime)
        self._threads = settings.inference_threads()
        self._arms: dict[str, Arm] = {}
        self._loading = Lock()

    def champion(self, study: str) -> Arm:
        """Arm of the study's champion; loaded, and replayed on its sample, when it is not yet.

        Raises
        ------
        UnknownVersion
            When the study has no champion.
        BundleError
            When the bundle is damaged or does not reproduce its sample.
        RuntimeUnavailable
            When the framework it needs is not installed.
        """
        version = self._registry.champion(study)
        if version is None:
            raise UnknownVersion(f"{study} has no champion; train a version and promote it")
        with self._loading:
            arm = self._arms.get(study)
            if arm is None or arm.contract.version != version:
                arm = self._arms[study] = self.version(study, version)
        return arm

    def version(self, study: str, version: str) -> Arm:
        """Load any version of a study and replay its sample; raises as `champion` does."""
        bundle = self._registry.open(study, version)
        arm = Arm(bundle, self._load(bundle, self._threads))
        replay(arm)
        return arm


def loader(runtime: str) -> Loader:
    """How bundles are loaded under a value of the setting `runtime`."""

    def load(bundle: Bundle, threads: int) -> Predictor:
        technology = "openvino" if runtime == "openvino" else bundle.contract.framework
        try:
            module = importlib.import_module(f"bioseg.inference.{technology}_runtime")
        except ModuleNotFoundError as error:
            raise RuntimeUnavailable(
                f"BIOSEG_RUNTIME={runtime} needs {error.name} for {bundle.path}, which is not installed; "
                "install bioseg[serve] for openvino, bioseg[train] for reference"
            ) from error
        predict: Predictor = module.load(bundle, threads)
        return predict

    return load


def replay(arm: Arm) -> None:
    """Check that a loaded network gives on its bundle's sample what the bundle says.

    Raises
    ------
    BundleError
        When the shape differs or a value differs by more than `contract.tolerance`.
    """
    batch, expected = arm.bundle.sample()
    found = arm.predict(batch)
    if found.shape != expected.shape:
        raise BundleError(f"{arm.bundle.path} gives {found.shape} on its sample, not {expected.shape}; export it again")
    difference = float(np.abs(found - expected).max())
    if not difference <= arm.contract.tolerance:
        raise BundleError(
            f"{arm.bundle.path} differs by {difference:.2g} on its sample, above its tolerance "
            f"{arm.contract.tolerance:g}; export it again or check the runtime"
        )

"""The networks that serve: loaded on first use, proved on their own sample."""

import importlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np

from bioseg.bundles import Bundle, Contract
from bioseg.errors import ArmFailed, BundleError, RuntimeUnavailable, UnknownVersion
from bioseg.inference import Predictor
from bioseg.inference.confined_runtime import Confined, TimeLimit
from bioseg.registry import Registry
from bioseg.registry.standing import Aliases
from bioseg.settings import Settings

Loader = Callable[[Bundle, int], Predictor]
Confiner = Callable[[Bundle, int, TimeLimit], Predictor]

SLOWER = 10.0
"""How many times the champion's time a version under trial may take for a batch."""
LEAST_SECONDS = 1.0
"""What it may take in any case."""
MOST_SECONDS = 120.0
PROOF_SECONDS = 10.0
"""How long a proof holds of a network that serves: strangers may ask for it, as often as they like."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A version that serves: its bundle, its network, loaded, and the seconds it takes for a value of its sample."""

    bundle: Bundle
    predict: Predictor
    pace: float = 0.0

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
        Where bundles come from.
    aliases
        How each study stands; asked at every call, so a new champion serves from the next request on.
    load, confine
        Make a predictor of a bundle with a number of threads, in this process or in one of its own; None: with the
        technology that `settings.runtime` names.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        aliases: Aliases,
        load: Loader | None = None,
        confine: Confiner | None = None,
    ) -> None:
        self.aliases = aliases
        self._registry = registry
        self._load = load or loader(settings.runtime)
        self._confine = confine or confiner(settings.runtime)
        self._threads = settings.inference_threads()
        self._arms: dict[tuple[str, str], Arm] = {}
        self._trials: dict[tuple[str, str], Arm] = {}
        self._loading = Lock()
        self._proofs: dict[tuple[str, str], tuple[float, BundleError | None]] = {}
        self._proving = Lock()

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
        version = self.aliases(study).champion
        if version is None:
            raise UnknownVersion(f"{study} has no champion; train a version and promote it")
        return self.loaded(study, version)

    def loaded(self, study: str, version: str) -> Arm:
        """Arm of a version, kept from the first call on; raises as `champion` does."""
        arm = self._arms.get((study, version))
        if arm is not None:
            return arm
        with self._loading:
            arm = self._arms.get((study, version))
            if arm is None:
                arm = self._arms[study, version] = self.version(study, version)
        return arm

    def version(self, study: str, version: str) -> Arm:
        """Load any version of a study and replay its sample; raises as `champion` does."""
        bundle = self._registry.open(study, version)
        return proved(bundle, self._load(bundle, self._threads))

    def trial(self, study: str, version: str, beside: Arm | None = None) -> Arm:
        """Arm of a version that runs in a process of its own, kept from the first call on.

        Parameters
        ----------
        beside
            The champion, whose pace tells how long the other may take; None: as long as anything may.

        Raises
        ------
        ArmFailed
            When it cannot be loaded or does not reproduce its sample; its predictor raises the same.
        """
        arm = self._trials.get((study, version))
        if arm is not None:
            return arm
        with self._loading:
            arm = self._trials.get((study, version))
            if arm is None:
                arm = self._trials[study, version] = self._confined(study, version, beside)
        return arm

    def prove_again(self, arm: Arm, seconds: float = PROOF_SECONDS) -> None:
        """See that a network that has served for a while still reproduces its sample.

        Parameters
        ----------
        seconds
            How old the last look may be to count, whatever came of it.

        Raises
        ------
        BundleError
            When it does not.
        """
        name = (arm.contract.study, arm.contract.version)
        with self._proving:
            when, failure = self._proofs.get(name, (-math.inf, None))
            if time.monotonic() - when >= seconds:
                failure = _failure(arm)
                self._proofs[name] = (time.monotonic(), failure)
        if failure is not None:
            raise failure

    def keep(self, study: str, *versions: str | None) -> None:
        """Forget the arms of all other versions of a study; requests that run on one finish on it."""
        with self._loading:
            for arms in (self._arms, self._trials):
                for named in [named for named in arms if named[0] == study and named[1] not in versions]:
                    del arms[named]

    def _confined(self, study: str, version: str, beside: Arm | None) -> Arm:
        limit = time_limit(beside.pace) if beside else no_limit
        try:
            bundle = self._registry.open(study, version)
            return proved(bundle, self._confine(bundle, self._threads, limit))
        except (BundleError, UnknownVersion) as error:
            raise ArmFailed(f"{study} {version} cannot be tried: {error}") from error


def time_limit(pace: float) -> TimeLimit:
    """How long a version under trial may take for a batch of so many values beside a champion of this pace."""

    def seconds(values: int) -> float:
        return LEAST_SECONDS + SLOWER * pace * values

    return seconds


def no_limit(_values: int) -> float:
    """How long a champion may take for a batch: so long that it must be broken."""
    return MOST_SECONDS


def technology(runtime: str, contract: Contract) -> str:
    """Name of the module that loads bundles under a value of the setting `runtime`.

    OpenVINO always runs a bundle in less than float32: the weights in its own framework are those it was made from.
    """
    served = runtime == "openvino" or contract.precision != "f32"
    return f"bioseg.inference.{'openvino' if served else contract.framework}_runtime"


def loader(runtime: str) -> Loader:
    """How bundles are loaded under a value of the setting `runtime`."""

    def load(bundle: Bundle, threads: int) -> Predictor:
        try:
            module = importlib.import_module(technology(runtime, bundle.contract))
        except ModuleNotFoundError as error:
            raise RuntimeUnavailable(
                f"BIOSEG_RUNTIME={runtime} needs {error.name} for {bundle.path}, which is not installed; "
                "install bioseg[serve] for openvino, bioseg[train] for reference"
            ) from error
        predict: Predictor = module.load(bundle, threads)
        return predict

    return load


def proved(bundle: Bundle, predict: Predictor) -> Arm:
    """Make an arm of a network that reproduces its sample; raises as `replay` does."""
    arm = Arm(bundle, predict)
    replay(arm)
    batch, _ = bundle.sample()
    start = time.perf_counter()
    predict(batch)  # once more: the first run of a size plans it
    return Arm(bundle, predict, pace=(time.perf_counter() - start) / batch.size)


def confiner(runtime: str) -> Confiner:
    """How versions under trial are loaded under a value of the setting `runtime`."""

    def confine(bundle: Bundle, threads: int, limit: TimeLimit) -> Predictor:
        return Confined(bundle, technology(runtime, bundle.contract), threads, limit)

    return confine


def _failure(arm: Arm) -> BundleError | None:
    """What `replay` raises, if it does."""
    try:
        replay(arm)
    except BundleError as error:
        return error
    return None


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

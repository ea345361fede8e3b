"""Training runs in MLflow: on the tracking server when one answers, else in the store that it opens later."""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from numpy.typing import NDArray

from bioseg.errors import TrackingError
from bioseg.settings import Settings
from bioseg.telemetry.mlflow_experiment import experiment_id
from bioseg.telemetry.tracking_server import probe

LONGEST_VALUE = 6000
NOT_IN_NAMES = re.compile(r"[^\w .-]+")

logger = logging.getLogger(__name__)


class MlflowTracker:
    """Keeps one training run; what the store refuses is logged and the training goes on."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    @property
    def name(self) -> str:
        """Id of the run."""
        return self._run_id

    def parameters(self, values: Mapping[str, object]) -> None:
        """Keep settings, as text of at most 6000 characters."""
        named = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in values.items()]
        with _survived("parameters"):
            self._client.log_batch(self._run_id, params=named)

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each of the named curves."""
        with _survived("a point"):
            now = _now_ms()
            self._client.log_batch(self._run_id, [Metric(key, value, now, step) for key, value in values.items()])

    def picture(self, name: str, image: NDArray[np.uint8]) -> None:
        """Keep an image (H, W, 3), RGB, as PNG."""
        with _survived("a picture"):
            self._client.log_image(self._run_id, image, artifact_file=f"pictures/{NOT_IN_NAMES.sub('-', name)}.png")

    def folder(self, path: Path) -> None:
        """Keep every file of a folder under its name."""
        with _survived("a folder"):
            self._client.log_artifacts(self._run_id, str(path), artifact_path=path.name)


@contextmanager
def tracked(settings: Settings, study: str, title: str, parent: str = "") -> Iterator[MlflowTracker]:
    """Open a run in the experiment `bioseg/<study> training`; it ends finished, or failed when the body raises.

    With the id of a `parent` it is a child of that run.

    Raises
    ------
    SettingsError
        When the server's address is malformed.
    """
    local = settings.state_dir.resolve() / "mlflow"
    local.mkdir(parents=True, exist_ok=True)
    served = _is_reached(settings.tracking_uri)
    client = MlflowClient(settings.tracking_uri if served else f"sqlite:///{local / 'mlflow.db'}")
    elsewhere = served and bool(settings.mlflow_uri)
    experiment = experiment_id(
        client, f"bioseg/{study} training", None if elsewhere else local / "artifacts" / "training"
    )
    tags = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    run_id = client.create_run(experiment, run_name=title, tags=tags).info.run_id
    status = "FAILED"
    try:
        yield MlflowTracker(client, run_id)
        status = "FINISHED"
    finally:
        with _survived("the end of the run"):
            client.set_terminated(run_id, status)


def _is_reached(uri: str) -> bool:
    try:
        probe(uri)
    except TrackingError:
        return False
    return True


@contextmanager
def _survived(what: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, OSError) as error:
        logger.warning("MLflow did not take %s: %s", what, error)


def _now_ms() -> int:
    return int(time.time() * 1000)

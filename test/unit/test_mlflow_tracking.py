import logging

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from bioseg.settings import Settings
from bioseg.telemetry.mlflow_experiment import experiment_id
from bioseg.training.mlflow_tracking import MlflowTracker, tracked


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    # nothing listens on port 1, so the store in the state folder is opened
    return Settings(state_dir=tmp_path_factory.mktemp("state"), mlflow_port=1)


@pytest.fixture(scope="module")
def client(settings):
    return MlflowClient(f"sqlite:///{settings.state_dir / 'mlflow' / 'mlflow.db'}")


def test_a_run_is_kept_in_the_store_that_the_server_opens_later(settings, client, tmp_path):
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "CARD.md").write_text("card")
    with tracked(settings, "membrane", "v1 default") as tracker:
        tracker.parameters({"filters": (4, 8), "seed": 7})
        tracker.curve(100, {"loss": 0.5})
        tracker.curve(200, {"loss": 0.25})
        tracker.picture("membrane EM taken for photo/other", np.zeros((4, 4, 3), np.uint8))
        tracker.folder(tmp_path / "v1")
    run = client.get_run(tracker.name)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "v1 default")
    assert run.data.params == {"filters": "(4, 8)", "seed": "7"}
    assert [(point.step, point.value) for point in client.get_metric_history(tracker.name, "loss")] == [
        (100, 0.5),
        (200, 0.25),
    ]
    kept = {file.path for folder in ("pictures", "v1") for file in client.list_artifacts(tracker.name, folder)}
    assert kept == {"pictures/membrane EM taken for photo-other.png", "v1/CARD.md"}


def test_two_processes_that_create_an_experiment_at_once_share_it(client):
    class Late:
        """Sees the experiment only after somebody else has created it."""

        def __init__(self):
            self.answers = [None]

        def get_experiment_by_name(self, name):
            return self.answers.pop() if self.answers else client.get_experiment_by_name(name)

        def create_experiment(self, name, **options):
            return client.create_experiment(name, **options)

    first = experiment_id(client, "bioseg/lungs training")
    assert first == experiment_id(Late(), "bioseg/lungs training")


def test_a_fit_that_breaks_leaves_a_failed_run(settings, client):
    with pytest.raises(ArithmeticError), tracked(settings, "membrane", "v2 default") as tracker:
        raise ArithmeticError
    assert client.get_run(tracker.name).info.status == "FAILED"


def test_what_mlflow_refuses_is_logged_and_the_fit_goes_on(caplog):
    class Refusing:
        def log_batch(self, *_args, **_options):
            raise MlflowException("full")

    with caplog.at_level(logging.WARNING):
        MlflowTracker(Refusing(), "r").curve(1, {"loss": 1.0})
    assert "MLflow did not take a point: full" in caplog.text

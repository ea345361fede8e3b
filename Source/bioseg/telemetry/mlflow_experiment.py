"""Experiments in MLflow, found by name or created."""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode


def experiment_id(client: MlflowClient, name: str, artifacts: Path | None = None) -> str:
    """Find an experiment or create it, whoever else does so meanwhile.

    Parameters
    ----------
    artifacts
        Folder for the files of a new experiment; None: where the server says.

    Returns
    -------
    Its id.

    Raises
    ------
    MlflowException
        When the server does not answer or refuses.
    """
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=artifacts.as_uri() if artifacts else None))
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            return experiment_id(client, name)
        raise

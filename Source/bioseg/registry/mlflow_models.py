"""Bundles as versions of MLflow's registered models: a model for each study, the files as artifacts of a run.

MLflow numbers the versions of a model; the name that a bundle's contract gives stands in a tag, beside the sha256 of
its manifest, which holds that of every other file.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import RunStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from requests import RequestException

from bioseg.bundles import MANIFEST, Bundle, sha256_of
from bioseg.errors import BundleError, TrackingError
from bioseg.registry.folder_registry import is_name
from bioseg.telemetry.mlflow_experiment import experiment_id
from bioseg.telemetry.tracking_server import probe

VERSION, SHA256 = "bioseg.version", "bioseg.manifest_sha256"
FOLDER = "bundle"


class MlflowModels:
    """The registered models of an MLflow server; each method raises TrackingError when it does not answer or refuses.

    Parameters
    ----------
    tracking_uri
        Address of the server; it is contacted on first use.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._client = MlflowClient(tracking_uri)

    def versions(self, study: str) -> dict[str, ModelVersion]:
        """Bundles of a study by the version in their contracts."""
        if not is_name(study):
            return {}
        with self._answered() as client:
            found = client.search_model_versions(f"name = '{model_of(study)}'")
        named = [version for version in found if version.status == "READY" and is_name(version.tags.get(VERSION, ""))]
        # Of two under one name the one that came first counts.
        return {version.tags[VERSION]: version for version in sorted(named, key=_number, reverse=True)}

    def upload(self, bundle: Bundle) -> ModelVersion:
        """Keep the files of a bundle; a version appears only when all are there.

        Raises
        ------
        BundleError
            When the version exists.
        """
        study, version = bundle.contract.study, bundle.contract.version
        if version in self.versions(study):
            raise _exists(study, version)
        with self._answered() as client:
            _create_model(client, study)
            run_id = _keep_files(client, bundle)
            created = client.create_model_version(
                model_of(study),
                f"runs:/{run_id}/{FOLDER}",
                run_id,
                tags={VERSION: version, SHA256: bundle.digest},
                await_creation_for=0,  # it is created when the server answers, and waiting says so on the terminal
            )
        first = self.versions(study)[version]
        if first.version != created.version:
            with self._answered() as client:
                client.delete_model_version(model_of(study), created.version)
            raise _exists(study, version)
        return created

    def download(self, version: ModelVersion, target: Path) -> Path:
        """Fetch the files of a bundle into a folder, their hashes not yet checked; gives the folder they are in.

        Raises
        ------
        BundleError
            When the manifest is not the one that was uploaded.
        """
        with self._answered() as client:
            folder = Path(client.download_artifacts(str(version.run_id), FOLDER, str(target)))
        manifest = folder / MANIFEST
        if not manifest.is_file() or sha256_of(manifest) != version.tags.get(SHA256):
            raise BundleError(
                f"{version.name} {version.version} was altered in MLflow (sha256 of its {MANIFEST} differs); "
                "publish the bundle again under another name"
            )
        return folder

    def aliases(self, study: str) -> Mapping[str, str]:
        """Numbers of a study's versions by their aliases; empty for a study without any."""
        with self._answered() as client:
            try:
                known = client.get_registered_model(model_of(study)).aliases
            except MlflowException as error:
                if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                    return {}
                raise
        return {alias: str(number) for alias, number in known.items()}

    def set_alias(self, study: str, alias: str, number: str) -> None:
        """Let an alias stand for a version, given its number."""
        with self._answered() as client:
            client.set_registered_model_alias(model_of(study), alias, number)

    def delete_alias(self, study: str, alias: str) -> None:
        """Let an alias stand for nothing."""
        with self._answered() as client:
            client.delete_registered_model_alias(model_of(study), alias)

    @contextmanager
    def _answered(self) -> Iterator[MlflowClient]:
        probe(self._client.tracking_uri)
        try:
            yield self._client
        except (MlflowException, RequestException) as error:
            # The address may hold a password, and these words may hold the address.
            said = str(error).replace(self._client.tracking_uri, "the tracking server")
            raise TrackingError(f"MLflow's model registry: {said}") from error


def model_of(study: str) -> str:
    """Name of a study's registered model."""
    return f"bioseg-{study}"


def _number(version: ModelVersion) -> int:
    return int(version.version)


def _exists(study: str, version: str) -> BundleError:
    return BundleError(f"{study} {version} exists in MLflow and a version never changes; rename yours")


def _create_model(client: MlflowClient, study: str) -> None:
    try:
        client.create_registered_model(model_of(study), description=f"Bundles of Bioseg's study {study}.")
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise


def _keep_files(client: MlflowClient, bundle: Bundle) -> str:
    """Upload the files that the manifest names into a run of their own; gives its id."""
    experiment = experiment_id(client, f"bioseg/{bundle.contract.study} models")
    run_id = str(client.create_run(experiment, run_name=bundle.contract.version).info.run_id)
    for name in (MANIFEST, *bundle.manifest.files):
        client.log_artifact(run_id, str(bundle.path / name), FOLDER)
    client.update_run(run_id, status=RunStatus.to_string(RunStatus.FINISHED))
    return run_id

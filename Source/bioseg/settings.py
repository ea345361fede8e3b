"""Every setting: its name, default and what it does. The environment is read here and nowhere else."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from bioseg.errors import SettingsError


class Settings(BaseSettings):
    """Settings of one installation; each field is the environment variable `BIOSEG_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="BIOSEG_", frozen=True, extra="ignore", env_ignore_empty=True)

    data_dir: Path | None = Field(None, description="Folder of the datasets; training and evaluation read it.")
    state_dir: Path = Field(Path("var"), description="Folder of everything that is written: database, blobs, bundles.")
    models_dir: Path = Field(Path("data/models"), description="Folder of the shipped bundles, read only.")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the state folder.")
    blobs: str = Field(
        "", description="Primary blob store, `folder:PATH` or `s3://BUCKET/PREFIX`; empty: `blobs` in the state folder."
    )
    blobs_mirror: str = Field(
        "", description="Copies of the pictures for people: `dropbox:/FOLDER` or `s3://BUCKET/PREFIX`; empty: none."
    )
    s3_endpoint: str = Field("", description="Address of an S3-compatible server; empty: Amazon's.")
    dropbox_app_key: str = Field("", description="App key of the Dropbox app that the mirror writes through.")
    dropbox_app_secret: SecretStr = Field(SecretStr(""), description="Its app secret; empty for a PKCE app.")
    dropbox_refresh_token: SecretStr = Field(SecretStr(""), description="Refresh token that the app was granted.")
    dropbox_endpoint: str = Field("", description="Address of a server that speaks Dropbox's API; empty: Dropbox.")
    mlflow_uri: str = Field("", description="MLflow tracking server; empty: the one that `bioseg serve` starts.")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="Port of the tracking server that `serve` starts.")
    runtime: Literal["openvino", "reference"] = Field(
        "openvino",
        description="`openvino` serves; `reference` runs a float32 bundle's own framework, Keras or torch.",
    )
    registry: Literal["folder", "mlflow"] = Field(
        "folder", description="Where versions live: `folder`, in the state folder, or `mlflow`, its model registry."
    )
    automatic: Literal["advise", "act"] = Field(
        "advise", description="What follows a verdict on a rollout: `advise` shows it, `act` promotes or rolls back."
    )
    shadow_sample: float = Field(
        1.0, ge=0, le=1, description="Share of the requests during a rollout whose image both versions are run on."
    )
    secret_key: SecretStr = Field(
        SecretStr(""), description="Key that signs cookies; empty: generated once and kept in the SQLite database."
    )
    operator_token: SecretStr = Field(
        SecretStr(""), description="Bearer token of the operators, who see every request; empty: shown at first start."
    )
    api_token: SecretStr = Field(
        SecretStr(""),
        description="When set, every call of the API needs this Bearer token, or a page signed in with it.",
    )
    rate_limit: str = Field(
        "", description="Uploads that one address may send, such as `600/minute`; more get 429; empty: no limit."
    )
    retention_days: int = Field(0, ge=0, description="Days after which pictures are deleted; 0: they are kept.")
    max_upload_mb: int = Field(64, ge=1, description="Largest upload, MiB.")
    max_pixels: int = Field(17_000_000, ge=1, description="Largest image, pixels.")
    sync_seconds: float = Field(1.0, gt=0, description="How often the worker looks for tasks, seconds.")
    threads: int = Field(0, ge=0, description="Inference threads; 0: one for each CPU that Bioseg may use.")
    queue: int = Field(1, ge=0, description="Requests that may wait while one runs; more get 503 and ask again.")

    @property
    def resolved_database_url(self) -> str:
        """The database URL with the default filled in."""
        return self.database_url or f"sqlite:///{self.state_dir.resolve() / 'bioseg.db'}"

    @property
    def resolved_blobs(self) -> str:
        """The primary blob store with the default filled in."""
        return self.blobs or f"folder:{self.state_dir.resolve() / 'blobs'}"

    @property
    def tracking_uri(self) -> str:
        """The MLflow server to ship to, with the default filled in."""
        return self.mlflow_uri or f"http://127.0.0.1:{self.mlflow_port}"

    def inference_threads(self) -> int:
        """Threads of the one request of the machine that runs networks."""
        return self.threads or usable_cpus()


def usable_cpus() -> int:
    """How many CPUs this process may run on: in a container or a batch job often fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def load() -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    SettingsError
        Naming each variable with an unusable value.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = (f"BIOSEG_{str(part['loc'][0]).upper()}: {part['msg']}" for part in error.errors())
        raise SettingsError("; ".join(problems)) from error


def child_environment(**changes: str) -> dict[str, str]:
    """The environment for a process that Bioseg starts: this one's with some variables changed."""
    return {**os.environ, **changes}

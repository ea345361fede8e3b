"""Two web servers with a worker each, on one PostgreSQL, one S3 server and one MLflow server, are one installation."""

import itertools
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from sqlalchemy import Engine, create_engine, func, select, update

from bioseg import images, processes
from bioseg.database.tables import BlobMove, RequestRecord, Task, TelemetryRun
from bioseg.telemetry.mlflow_shipper import METRICS
from bioseg.testing import twins
from bioseg.testing.running import run, web

UPLOADS = 100
BUSY = 503


@dataclass
class Replica:
    """A web server, its worker, and what a new worker is started with."""

    address: str
    environment: dict[str, str]
    log: Path
    worker: "subprocess.Popen[bytes]"


@dataclass
class Installation:
    """Replicas, and what they share."""

    replicas: list[Replica]
    database: Engine
    tracking: MlflowClient
    stack: ExitStack

    def restart_worker(self, number: int) -> None:
        """Kill a worker as a machine does that runs out of memory, and start another one."""
        replica = self.replicas[number]
        replica.worker.kill()
        replica.worker.wait()
        replica.worker = self.stack.enter_context(run(processes.worker(), replica.environment, replica.log))


@pytest.fixture
def installation(
    tmp_path: Path, database_url: str, s3_endpoint: str, mlflow_server: str, tiny_models: Path
) -> Iterator[Installation]:
    shared = {
        "BIOSEG_MODELS_DIR": str(tiny_models),
        "BIOSEG_DATABASE_URL": database_url,
        "BIOSEG_BLOBS": f"s3://bioseg/{tmp_path.name.replace('_', '-')}",
        "BIOSEG_S3_ENDPOINT": s3_endpoint,
        "BIOSEG_MLFLOW_URI": mlflow_server,
        "BIOSEG_SECRET_KEY": "the cookie key of both replicas",
        "BIOSEG_OPERATOR_TOKEN": "token-of-the-operators",
        "BIOSEG_THREADS": "1",
        "BIOSEG_SYNC_SECONDS": "0.2",
    }
    database = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with ExitStack() as stack:
        replicas = []
        for name in ("a", "b"):
            environment = shared | {"BIOSEG_STATE_DIR": str(tmp_path / name)}
            log = tmp_path / f"{name}.log"
            address = stack.enter_context(web(1, environment, log))
            worker = stack.enter_context(run(processes.worker(), environment, log))
            replicas.append(Replica(address, environment, log, worker))
        yield Installation(replicas, database, MlflowClient(mlflow_server), stack)
    database.dispose()


pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


def post(browser: requests.Session, address: str, data: bytes, key: str) -> requests.Response:
    """Upload an image, and again while the server is busy."""
    for _ in range(100):
        answer = browser.post(
            f"{address}/api/v1/segment",
            files={"image": ("section.png", data, "image/png")},
            headers={"Idempotency-Key": key},
            timeout=60,
        )
        if answer.status_code != BUSY:
            return answer
        time.sleep(0.05)
    raise TimeoutError(answer.text)


def section(seed: int) -> bytes:
    return images.encode_png(twins.membrane_section(seed, 64)[0])


def test_replicas_share_requests_cookies_and_idempotency_keys(installation: Installation) -> None:
    a, b = (replica.address for replica in installation.replicas)
    with requests.Session() as browser:
        given = post(browser, a, section(1), "first").json()
        seen = browser.get(f"{b}/api/v1/requests", timeout=30).json()["requests"]
        again = post(browser, b, section(1), "first").json()
        masks = {browser.get(address + given["mask_url"], timeout=30).content for address in (a, b)}
        assert ([given["id"]], given, 1) == ([record["id"] for record in seen], again, len(masks))
        browser.delete(f"{b}/api/v1/requests/{given['id']}", timeout=30)
        assert browser.get(f"{a}{given['mask_url']}", timeout=30).status_code == 404

        with ThreadPoolExecutor(8) as pool:
            addresses = [address for _ in range(4) for address in (a, b)]
            answers = list(pool.map(lambda address: post(browser, address, section(2), "second"), addresses))
        kept = browser.get(f"{a}/api/v1/requests", timeout=30).json()["requests"]
        assert ({200: 8}, 1, 1) == (
            Counter(answer.status_code for answer in answers),
            len({answer.content for answer in answers}),
            len(kept),
        )


def test_each_of_a_hundred_uploads_is_one_point_although_a_worker_is_killed(installation: Installation) -> None:
    addresses = itertools.cycle(replica.address for replica in installation.replicas)
    with requests.Session() as browser:
        for number in range(UPLOADS):
            assert post(browser, next(addresses), section(number), f"upload-{number}").status_code == 200
            if number == UPLOADS // 2:
                kill_at_work(installation)
    wait_until_done(installation)
    with installation.database.connect() as connection:
        records = connection.execute(select(RequestRecord.seq, RequestRecord.created_at)).all()
    wanted = sorted((seq, round(moment.timestamp() * 1000)) for seq, moment in records)
    assert len(wanted) == UPLOADS
    assert dict.fromkeys(METRICS, wanted) == {metric: points(installation, metric) for metric in METRICS}


def kill_at_work(installation: Installation) -> None:
    """Kill the first worker while it holds tasks, if it does within some seconds; another worker may be quicker."""
    pid = installation.replicas[0].worker.pid
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and not held_by(installation, pid):
        time.sleep(0.001)
    installation.restart_worker(0)
    with installation.database.begin() as connection:  # as if the two minutes of its lease had passed
        held = Task.claimed_by.contains(f":{pid}:")
        connection.execute(update(Task).where(held).values(claimed_until=datetime.now(UTC)))


def held_by(installation: Installation, pid: int) -> int:
    with installation.database.connect() as connection:
        return connection.scalar(select(func.count(Task.id)).where(Task.claimed_by.contains(f":{pid}:"))) or 0


def wait_until_done(installation: Installation) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with installation.database.connect() as connection:
            tasks = connection.scalar(select(func.count(Task.id)).where(Task.done_at.is_(None)))
            pictures = connection.scalar(select(func.count(BlobMove.key)))
        if not tasks and not pictures:
            return
        time.sleep(0.2)
    raise TimeoutError("\n".join(replica.log.read_text()[-3000:] for replica in installation.replicas))


def points(installation: Installation, metric: str) -> list[tuple[int, int]]:
    """Step and moment of all points of a metric, sorted."""
    with installation.database.connect() as connection:
        runs = list(connection.scalars(select(TelemetryRun.run_id)))
    found = (point for run in runs for point in installation.tracking.get_metric_history(run, metric))
    return sorted((point.step, point.timestamp) for point in found)

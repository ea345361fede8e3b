"""docker-compose.yml as its users run it: built without a cache, with a project, ports and images of the test's own."""

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from bioseg import images
from bioseg.testing import twins

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 600.0
LARGEST_APPLICATION = 700 * 10**6
DATABASE = """\
ARG BASE=python:3.11-slim
FROM ${BASE}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* \\
    && install --directory --owner postgres --group postgres --mode 700 /var/lib/postgresql/data \\
    && chmod 3777 /var/run/postgresql
COPY start /usr/local/bin/start
USER postgres
CMD ["sh", "/usr/local/bin/start"]
"""
START = """\
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
export PGDATA=/var/lib/postgresql/data
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  echo "${POSTGRES_PASSWORD:?}" > /tmp/password
  initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 --encoding=UTF8 > /dev/null
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE $POSTGRES_DB" | postgres --single postgres > /dev/null
fi
exec postgres -c listen_addresses='*'
"""


pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]


@dataclass(frozen=True)
class Compose:
    """A project of its own, on free ports; what is set is all that it finds in its environment."""

    project: str
    settings: Mapping[str, str]

    def __call__(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        command = ["docker", "compose", "--project-name", self.project, "--env-file", "/dev/null", *arguments]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "BASE", "DOCKER_HOST") if name in os.environ}
        done = subprocess.run(
            command, cwd=ROOT, env=kept | dict(self.settings), capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def address(self, port: str) -> str:
        return f"http://127.0.0.1:{self.settings[port]}"

    def containers(self, service: str) -> list[str]:
        return self("ps", "--all", "--quiet", service).stdout.split()


def engine_answers() -> bool:
    try:
        return subprocess.run(["docker", "version"], capture_output=True, timeout=60, check=False).returncode == 0
    except FileNotFoundError:
        return False


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


def until(what: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=30).ok
    except requests.RequestException:
        return False


def upload(address: str) -> requests.Response:
    section = images.encode_png(twins.membrane_section(7, 128)[0])
    return requests.post(f"{address}/api/v1/segment", files={"image": ("section.png", section)}, timeout=120)


def latencies(tracking: str) -> list[float]:
    """What MLflow has of the latency of each request of the champion."""
    api = f"{tracking}/api/2.0/mlflow"
    found = requests.post(f"{api}/experiments/search", json={"max_results": 100}, timeout=30).json()
    ids = [each["experiment_id"] for each in found.get("experiments", []) if each["name"] == "bioseg/membrane"]
    if not ids:
        return []
    runs = requests.post(f"{api}/runs/search", json={"experiment_ids": ids}, timeout=30).json().get("runs", [])
    points = []
    for run in runs:
        asked = {"run_id": run["info"]["run_id"], "metric_key": "latency_ms"}
        points += requests.get(f"{api}/metrics/get-history", asked, timeout=30).json().get("metrics", [])
    return [point["value"] for point in points]


@pytest.fixture(scope="module")
def images_of_ours() -> Iterator[dict[str, str]]:
    """Everything that compose builds, built without a cache; gives what names it. Without an engine only CI fails."""
    if os.environ.get("CI") != "true" and not engine_answers():
        pytest.skip("no Docker engine answers")
    tag = f"test-{secrets.token_hex(4)}"
    named = {"REGISTRY": "bioseg-e2e/", "TAG": tag, "COMPOSE_PROGRESS": "quiet"}
    Compose("bioseg-e2e-build", named)("--profile", "*", "build", "--no-cache")
    yield named
    names = [f"bioseg-e2e/bioseg-{name}:{tag}" for name in ("application", "mlflow", "test", "balancer")]
    docker("image", "rm", "--force", *names)


@pytest.fixture(scope="module")
def compose(images_of_ours: dict[str, str]) -> Iterator[Compose]:
    """The default services, up and ready."""
    ports = {"BIOSEG_PORT": free_port(), "MLFLOW_PORT": free_port()}
    made = Compose(f"bioseg-e2e-{secrets.token_hex(4)}", images_of_ours | ports)
    try:
        made("up", "--detach")
        until(lambda: answers(f"{made.address('BIOSEG_PORT')}/readyz"))
        yield made
    finally:
        made("--profile", "*", "down", "--volumes", check=False)


@pytest.fixture(scope="module")
def database_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """PostgreSQL out of Debian, which takes the same variables as the official image."""
    folder = tmp_path_factory.mktemp("database")
    (folder / "Dockerfile").write_text(DATABASE)
    (folder / "start").write_text(START)
    name = f"bioseg-e2e/postgres:test-{secrets.token_hex(4)}"
    base = os.environ.get("BASE", "python:3.11-slim")
    docker("build", "--quiet", "--tag", name, "--build-arg", f"BASE={base}", str(folder))
    yield name
    docker("image", "rm", "--force", name)


@pytest.fixture(scope="module")
def replicas(images_of_ours: dict[str, str], database_image: str) -> Iterator[Compose]:
    """Two replicas on PostgreSQL behind the balancer."""
    chosen = {
        "BIOSEG_PORT": "0",
        "BALANCER_PORT": free_port(),
        "MLFLOW_PORT": free_port(),
        "DB_IMAGE": database_image,
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "BIOSEG_SECRET_KEY": secrets.token_hex(32),
        "BIOSEG_OPERATOR_TOKEN": "token-of-the-operators",
        "COMPOSE_PROFILES": "postgres",
    }
    made = Compose(f"bioseg-e2e-{secrets.token_hex(4)}", images_of_ours | chosen)
    try:
        made("up", "--detach", "--scale", "application=2")
        until(lambda: answers(f"{made.address('BALANCER_PORT')}/readyz"))
        yield made
    finally:
        made("--profile", "*", "down", "--volumes", check=False)


def test_the_image_of_the_application_is_small(images_of_ours: dict[str, str]) -> None:
    name = "{REGISTRY}bioseg-application:{TAG}".format(**images_of_ours)
    assert int(docker("image", "inspect", "--format", "{{.Size}}", name)) <= LARGEST_APPLICATION


def test_the_containers_can_do_little(compose: Compose) -> None:
    for service in ("application", "mlflow"):
        (container,) = compose.containers(service)
        found = json.loads(docker("inspect", container))[0]
        host = found["HostConfig"]
        assert (True, ["ALL"], ["no-new-privileges:true"], False) == (
            host["ReadonlyRootfs"],
            host["CapDrop"],
            host["SecurityOpt"],
            host["Privileged"],
        )
        assert 0 < min(host[limit] for limit in ("Memory", "NanoCpus", "PidsLimit"))
        assert found["Config"]["User"] not in ("", "root", "0")
        assert {"127.0.0.1"} == {each["HostIp"] for bound in host["PortBindings"].values() for each in bound}


def test_the_engine_finds_them_healthy(compose: Compose) -> None:
    ids = [*compose.containers("application"), *compose.containers("mlflow")]
    until(lambda: {"healthy"} == {docker("inspect", "--format", "{{.State.Health.Status}}", each) for each in ids})


def test_an_upload_is_a_point_in_mlflow_and_both_survive_down_and_up(compose: Compose) -> None:
    address, tracking = compose.address("BIOSEG_PORT"), compose.address("MLFLOW_PORT")
    until(lambda: answers(f"{tracking}/health"))
    answer = upload(address)
    assert 200 == answer.status_code, answer.text
    until(lambda: latencies(tracking))
    shipped = latencies(tracking)
    mine, mask = answer.cookies, answer.json()["mask_url"]
    before = requests.get(f"{address}{mask}", cookies=mine, timeout=60).content

    compose("down")
    compose("up", "--detach")
    until(lambda: answers(f"{address}/readyz") and answers(f"{tracking}/health"))
    assert before == requests.get(f"{address}{mask}", cookies=mine, timeout=60).content
    assert shipped == latencies(tracking)


def test_the_suite_in_its_container_finds_nothing_wrong(compose: Compose) -> None:
    done = compose("--profile", "test", "run", "--rm", "test", "--latency-ms", "60000", check=False)
    assert 0 == done.returncode, done.stdout[-4000:]


def test_sigterm_ends_the_application_with_success(compose: Compose) -> None:
    (container,) = compose.containers("application")
    compose("stop", "application")
    assert "0" == docker("inspect", "--format", "{{.State.ExitCode}}", container)
    compose("start", "application")
    until(lambda: answers(f"{compose.address('BIOSEG_PORT')}/readyz"))


def test_replicas_serve_behind_one_address(replicas: Compose) -> None:
    address = replicas.address("BALANCER_PORT")
    until(lambda: all(served(container) for container in replicas.containers("application") if upload(address).ok))


def served(container: str) -> int:
    """How many uploads a replica has answered."""
    return sum('"path": "/api/v1/segment"' in line for line in logs(container).splitlines())


def logs(container: str) -> str:
    done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_a_replica_that_goes_takes_no_request_with_it(replicas: Compose) -> None:
    address = replicas.address("BALANCER_PORT")
    answer = upload(address)
    (one, _) = replicas.containers("application")
    docker("stop", one)
    picture = requests.get(f"{address}{answer.json()['mask_url']}", cookies=answer.cookies, timeout=60)
    assert (200, 200) == (picture.status_code, upload(address).status_code)
    docker("start", one)


def test_replicas_wait_for_their_database_and_say_so(replicas: Compose) -> None:
    replicas("stop", "database", "application")
    one, other = replicas.containers("application")
    docker("start", one)
    until(lambda: "waiting for the database" in logs(one))
    assert '{"database":"failing"' in inside(one, "/readyz")
    assert ["running", "exited"] == [docker("inspect", "--format", "{{.State.Status}}", each) for each in (one, other)]
    replicas("start", "database")
    until(lambda: answers(f"{replicas.address('BALANCER_PORT')}/readyz"))


def inside(container: str, path: str) -> str:
    """What the server in a container answers, whatever the status."""
    program = (
        "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=30); "
        f"c.request('GET', '{path}'); print(c.getresponse().read().decode())"
    )
    until(lambda: subprocess.run(["docker", "exec", container, "python", "-c", program], check=False).returncode == 0)
    return docker("exec", container, "python", "-c", program)


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--env", "BIOSEG_THREADS=many"], 2, "bioseg: BIOSEG_THREADS: "),
        (["--env", "BIOSEG_DATABASE_URL=postgresql://database/bioseg"], 2, "bioseg: BIOSEG_SECRET_KEY is empty"),
        (["--env", "BIOSEG_BLOBS=s3://bucket"], 2, "bioseg: S3 needs credentials: set AWS_ACCESS_KEY_ID"),
        (["--tmpfs", "/var/lib/bioseg:mode=755"], 1, "bioseg: BIOSEG_STATE_DIR: /var/lib/bioseg cannot be written"),
    ],
)
@pytest.mark.parametrize("command", [[], ["worker"]])
def test_a_wrong_environment_ends_the_container_with_one_line(
    images_of_ours: dict[str, str], options: list[str], code: int, reason: str, command: list[str]
) -> None:
    name = "{REGISTRY}bioseg-application:{TAG}".format(**images_of_ours)
    run = ["docker", "run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", *options, name, *command]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (code, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n")), done.stderr
    assert done.stderr.startswith(reason)

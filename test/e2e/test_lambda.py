"""The application image as AWS Lambda runs it: read-only, no shared memory, any user, called by events.

`AWS_LAMBDA_RIE` may name the runtime interface emulator, `BIOSEG_IMAGE` an application image that was built already.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import requests

from bioseg.testing import function_url

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
TASK = ROOT / "deploy" / "aws-lambda"
SUITE = ROOT / "test" / "conformance"
SECTION = (SUITE / "uploads" / "section.png").read_bytes()
IN_SAM_CLI = ".venv-pipeline/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"
START_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
MEMORY = "3008m"
KEY = "key-that-signs-cookies-for-a-test"


@dataclass(frozen=True)
class Function:
    """A running function: where its emulator listens, and the name of its container."""

    address: str
    container: str

    def log(self) -> str:
        done = subprocess.run(["docker", "logs", self.container], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AWS's runtime interface emulator; aws-sam-cli holds it, whose installed files need not be executable."""
    found = [Path(os.environ["AWS_LAMBDA_RIE"])] if "AWS_LAMBDA_RIE" in os.environ else list(ROOT.glob(IN_SAM_CLI))
    if not found:
        pytest.skip("there is no runtime interface emulator: neither AWS_LAMBDA_RIE nor aws-sam-cli in .venv-pipeline")
    emulator = Path(shutil.copy(found[0], tmp_path_factory.mktemp("emulator") / "rie"))
    emulator.chmod(0o755)
    emulator.parent.chmod(0o755)
    return emulator


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image of the functions, built on the application's."""
    if shutil.which("docker") is None:
        pytest.skip("there is no Docker engine")
    tag = f"bioseg-lambda:test-{secrets.token_hex(4)}"
    application = os.environ.get("BIOSEG_IMAGE")
    if application is None:
        application = f"bioseg-application:test-{secrets.token_hex(4)}"
        docker("build", "--quiet", "--tag", application, "--file", str(ROOT / "application" / "Dockerfile"), str(ROOT))
    docker("build", "--quiet", "--tag", tag, "--build-arg", f"APPLICATION={application}", str(TASK))
    yield tag
    docker("rmi", tag)


@pytest.fixture(scope="module")
def environment(postgres_url: str, s3_server: str) -> Iterator[dict[str, str]]:
    """What both functions are told: a new database, a bucket, keys."""
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield {
            "BIOSEG_DATABASE_URL": postgres_url.replace("/postgres?", f"/{name}?"),
            "BIOSEG_BLOBS": "s3://bioseg/lambda",
            "BIOSEG_S3_ENDPOINT": s3_server,
            "BIOSEG_SECRET_KEY": KEY,
            "BIOSEG_MAX_UPLOAD_MB": "4",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "only-for-tests",
        }
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running(
    image: str, emulator: Path, environment: Mapping[str, str], handler: str = "lambda_web.handler"
) -> Iterator[Function]:
    """Run a function as Lambda would."""
    name, place, runtime = f"bioseg-lambda-{secrets.token_hex(4)}", *(f"127.0.0.1:{port}" for port in free_ports(2))
    mounts, user = [f"{emulator}:/rie:ro"], "993"
    folder = parse_qs(urlsplit(environment["BIOSEG_DATABASE_URL"]).query).get("host")
    if folder:  # PostgreSQL of the tests listens on a Unix socket, in a folder that is its user's
        mounts.append(f"{folder[0]}:{folder[0]}")
        user = str(Path(folder[0]).stat().st_uid)
    docker(
        *("run", "--detach", "--name", name, "--network", "host", "--read-only", "--tmpfs", "/tmp", "--ipc", "none"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", user, "--memory", MEMORY),
        *(part for mount in mounts for part in ("--volume", mount)),
        *(part for item in environment.items() for part in ("--env", "=".join(item))),
        *("--entrypoint", "/rie", image),
        *("--runtime-interface-emulator-address", place, "--runtime-api-address", runtime),
        *("python", "-m", "awslambdaric", handler),
    )
    try:
        wait_for(f"http://{place}")
        yield Function(f"http://{place}", name)
    finally:
        docker("rm", "--force", name)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_for(address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            requests.get(address, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(address)


def test_the_function_conforms(image: str, emulator: Path, environment: dict[str, str]) -> None:
    with running(image, emulator, environment) as function, function_url.listening(function.address) as url:
        command = [sys.executable, "-m", "pytest", SUITE, "--base-url", url, "--shipped-champions"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + function.log()[-3000:]


def test_the_worker_ships_what_a_container_left_that_is_gone(
    image: str, emulator: Path, environment: dict[str, str], mlflow_server: str
) -> None:
    visitor = requests.Session()
    with running(image, emulator, environment) as function, function_url.listening(function.address) as url:
        answer = visitor.post(f"{url}/api/v1/segment", files={"image": SECTION}).json()
    shipping = environment | {"BIOSEG_MLFLOW_URI": mlflow_server}
    with running(image, emulator, shipping, "lambda_worker.handler") as worker:
        assert function_url.invoke(worker.address, {"source": "aws.scheduler"}) == {}, worker.log()
    with running(image, emulator, environment) as function, function_url.listening(function.address) as url:
        record = visitor.get(f"{url}/api/v1/requests/{answer['id']}").json()
    assert record["tracking"]["run"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BIOSEG_DATABASE_URL", ""),
        ("BIOSEG_DATABASE_URL", "sqlite:////tmp/bioseg.db"),
        ("BIOSEG_BLOBS", "folder:/tmp/blobs"),
        ("BIOSEG_SECRET_KEY", ""),
    ],
)
def test_a_function_that_could_lose_something_does_not_start(
    image: str, emulator: Path, environment: dict[str, str], variable: str, value: str
) -> None:
    with running(image, emulator, environment | {variable: value}) as function:
        requests.post(f"{function.address}{function_url.INVOKE}", data="{}", timeout=60)
        log = function.log()
    assert f"bioseg: {variable}" in log
    assert "Traceback" not in log


def test_a_function_whose_database_is_not_up_says_what_it_waits_for(
    image: str, emulator: Path, environment: dict[str, str]
) -> None:
    (nobody,) = free_ports(1)
    address = {"BIOSEG_DATABASE_URL": f"postgresql://bioseg@127.0.0.1:{nobody}/bioseg"}
    with running(image, emulator, environment | address) as function, ThreadPoolExecutor(1) as caller:
        caller.submit(requests.post, f"{function.address}{function_url.INVOKE}", data="{}", timeout=PATIENCE_SECONDS)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "waiting for the database" not in function.log() and time.monotonic() < deadline:
            time.sleep(0.5)
        log = function.log()
        docker("kill", function.container)
    assert "waiting for the database" in log

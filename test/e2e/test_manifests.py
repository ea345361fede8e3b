"""What is handed to clusters and clouds: rendered, held against their schemas, and as confined as it says.

The tools are those of `.venv-pipeline`, or of the path.
"""

import os
import shutil
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = ("base", "overlays/gke", "overlays/darkube")
FILLED_IN = {
    "PROJECT": "my-project",
    "REGION": "europe-west3",
    "BUCKET": "my-bucket",
    "IMAGE": "example.org/bioseg-application:abc",
    "REGISTRY": "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    "AWS_REGION": "eu-central-1",
    "TAG": "abc",
    "COMPOSE": "c2VydmljZXM6IHt9Cg==",
}


def run(tool: str, *arguments: str | Path) -> str:
    """Run a tool and give what it prints; what it finds fails the test, and where it is missing the test is skipped."""
    path = os.pathsep.join([str(ROOT / ".venv-pipeline" / "bin"), os.environ["PATH"]])
    program = shutil.which(tool, path=path)
    if program is None:
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=KUBERNETES)
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What kustomize makes of a folder."""
    file = tmp_path_factory.mktemp("rendered") / "all.yaml"
    file.write_text(run("kubectl", "kustomize", DEPLOY / "kubernetes" / request.param))
    return file


@pytest.fixture(scope="module")
def objects(rendered: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(rendered.read_text()))


def pods(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in objects:
        if each["kind"] == "Deployment":
            yield each["spec"]["template"]["spec"]


def test_kubernetes_takes_it(rendered: Path) -> None:
    run("kubernetes-validate", "--strict", "--quiet", rendered)


def test_a_pod_may_do_nothing_that_it_need_not(objects: list[dict[str, Any]]) -> None:
    confined = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for pod in pods(objects):
        assert [True, {"type": "RuntimeDefault"}] == [
            pod["securityContext"][name] for name in ("runAsNonRoot", "seccompProfile")
        ]
        assert [confined] * len(pod["containers"]) == [each["securityContext"] for each in pod["containers"]]
        assert [False, False] == [pod[name] for name in ("automountServiceAccountToken", "enableServiceLinks")]


def test_every_pod_is_under_the_policy_that_forbids_everything(objects: list[dict[str, Any]]) -> None:
    (closed,) = (each for each in objects if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "nothing")
    forbidden = closed["spec"]["podSelector"]["matchLabels"].items()
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in objects if each["kind"] == "Deployment"]
    assert len(labels) == 2
    assert all(forbidden <= found.items() for found in labels)


def test_secrets_are_named_and_not_there(objects: list[dict[str, Any]]) -> None:
    assert "Secret" not in {each["kind"] for each in objects}
    named = [source for pod in pods(objects) for each in pod["containers"] for source in each.get("envFrom", [])]
    assert {"secretRef": {"name": "bioseg"}} in named


def test_no_image_is_the_latest(objects: list[dict[str, Any]]) -> None:
    images = [each["image"] for pod in pods(objects) for each in pod["containers"]]
    assert {"set-when-deployed"} == {image.rpartition(":")[2] for image in images}


def test_the_stack_of_lambda_is_one() -> None:
    run("cfn-lint", DEPLOY / "aws-lambda" / "template.yaml")


def test_the_container_of_cloud_run_is_one_of_kubernetes(tmp_path: Path) -> None:
    text = string.Template((DEPLOY / "cloud-run" / "service.yaml").read_text()).substitute(FILLED_IN)
    spec = yaml.safe_load(text)["spec"]["template"]["spec"]
    only_of_cloud_run = ("containerConcurrency", "timeoutSeconds")
    shared = {name: value for name, value in spec.items() if name not in only_of_cloud_run}
    pod = tmp_path / "pod.yaml"
    pod.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bioseg"}, "spec": shared}))
    run("kubernetes-validate", "--strict", "--quiet", pod)


def test_the_machine_of_ec2_brings_the_compose_file_up_with_its_images(tmp_path: Path) -> None:
    compose = ROOT / "docker-compose.yml"
    text = string.Template((DEPLOY / "ec2" / "user-data.yaml").read_text()).substitute(FILLED_IN)
    written = {Path(each["path"]).name: each["content"] for each in yaml.safe_load(text)["write_files"]}
    override = tmp_path / "compose.override.yaml"
    override.write_text(written["compose.override.yaml"])
    merged = run("docker", "compose", "--file", compose, "--file", override, "config", "--format", "json")
    services = yaml.safe_load(merged)["services"]
    registry = FILLED_IN["REGISTRY"]
    expected = {name: f"{registry}/bioseg-{name}:abc" for name in ("application", "mlflow")}
    assert expected == {name: services[name]["image"] for name in expected}
    assert [("8000", 8000)] == [(each["published"], each["target"]) for each in services["application"]["ports"]]

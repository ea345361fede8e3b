"""`deploy` and `rollback` of each target, against programs that write down how they were called."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
TELLS = r"""#!/bin/sh
name=$(basename "$0")
printf '%s\n' "$name $*" >> "$CALLS"
case "$name $1 $2" in
  "kubectl kustomize .") printf '      - image: elsewhere/bioseg-application:old\n        image: bioseg-mlflow:old\n' ;;
  "kubectl apply --filename") sed 's/^ */applied /' >> "$CALLS" ;;
  "aws sts "*) echo 123456789012 ;;
  "aws cloudformation describe-stacks") echo elsewhere/bioseg-lambda:former ;;
  "aws ssm send-command") echo command-1 ;;
  "gcloud run services") [ "$3" = update-traffic ] || sed -n 's/^.*image: */applied /p' "$4" >> "$CALLS" ;;
  "gcloud run revisions") printf 'bioseg-2\nbioseg-1\n' ;;
esac
"""
OUTSIDE = {
    "AWS_REGION": "eu-central-1",
    "PROJECT": "project",
    "REGION": "europe-west3",
    "BUCKET": "b",
    "INSTANCE": "i-1",
}

Called = Callable[..., list[str]]


@pytest.fixture
def called(tmp_path: Path) -> Called:
    """Runs a script of `deploy/`; gives the calls that it made."""
    for name in ("aws", "docker", "gcloud", "kubectl"):
        (tmp_path / name).write_text(TELLS)
        (tmp_path / name).chmod(0o755)

    def run(script: str, *arguments: str) -> list[str]:
        path = f"{tmp_path}:{os.environ['PATH']}"
        environment = {"PATH": path, "CALLS": str(tmp_path / "calls"), "HOME": str(tmp_path), **OUTSIDE}
        subprocess.run([DEPLOY / script, *arguments], env=environment, check=True, capture_output=True)
        return (tmp_path / "calls").read_text().splitlines()

    return run


def test_kubernetes_applies_the_images_of_the_tag_in_the_overlays_namespace(called):
    calls = called("kubernetes/deploy", "kubernetes-gke", "registry/", "abc")
    applied = [call for call in calls if call.startswith("applied")]
    assert ["applied - image: registry/bioseg-application:abc", "applied image: registry/bioseg-mlflow:abc"] == applied
    assert "kubectl --namespace bioseg rollout status deployment/application --timeout 10m" == calls[-1]


def test_kubernetes_goes_back_by_a_revision(called):
    assert "kubectl --namespace bioseg rollout undo deployment/application" in called(
        "kubernetes/rollback", "kubernetes-gke"
    )


def test_lambda_takes_the_image_from_ecr_and_notes_the_one_before(called):
    calls = called("aws-lambda/deploy", "aws-lambda", "registry/", "abc")
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/bioseg-lambda:abc"
    assert f"docker push {image}" in calls
    assert calls[-1].endswith(f"--parameter-overrides Image={image} --tags previous=elsewhere/bioseg-lambda:former")


def test_lambda_goes_back_to_the_image_that_was_noted(called):
    assert called("aws-lambda/rollback")[-1].endswith("--parameter-overrides Image=elsewhere/bioseg-lambda:former")


@pytest.mark.skipif(shutil.which("envsubst") is None, reason="envsubst is not installed")
def test_cloud_run_serves_the_image_from_its_own_registry(called):
    image = "europe-west3-docker.pkg.dev/project/bioseg/bioseg-application:abc"
    calls = called("cloud-run/deploy", "cloud-run", "registry/", "abc")
    assert [f"docker tag registry/bioseg-application:abc {image}", f"docker push {image}"] == calls[2:4]
    assert f"applied {image}" == calls[-1]


def test_cloud_run_goes_back_to_the_revision_before_the_newest(called):
    assert called("cloud-run/rollback")[-1].endswith("--to-revisions bioseg-1=100")


def test_ec2_pushes_both_images_and_restarts_the_machine_on_their_tag(called):
    calls = called("ec2/deploy", "ec2", "registry/", "abc")
    ecr = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    pushed = [call for call in calls if call.startswith("docker push")]
    assert [f"docker push {ecr}/bioseg-application:abc", f"docker push {ecr}/bioseg-mlflow:abc"] == pushed
    assert r"sed -i -E 's#(image: .*bioseg-[a-z]+):.*#\\1:abc#' compose.override.yaml" in calls[-2]
    assert calls[-1].endswith("--command-id command-1")


def test_ec2_goes_back_to_the_file_before(called):
    assert '"cp former.yaml compose.override.yaml", "systemctl restart bioseg"' in called("ec2/rollback")[-2]

"""The workflow of the pipeline, run by `act` on this machine: its jobs in containers, images in a registry beside them.

GitHub is away: checking out copies the folder, other actions are stand-ins that do what is needed of them here, and the
target of the deployment is a container of this engine. `make test` runs a few tests of its own. All else is as written.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from bioseg.testing.bundles import as_version

ROOT = Path(__file__).parents[2]
PIPELINE = (ROOT / ".venv-pipeline").resolve()
WORKFLOW = ".github/workflows/CI_CD.yml"
CHECKED = ".mypy_cache"
"""What is known of types already."""
RUNNER = "bioseg-act-runner"
"""What of GitHub's machines is needed; without `apt-get`, so that no test asks for more."""
DOCKERFILE = """
FROM python:3.11-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends docker-registry git jq make \\
    && rm /usr/bin/apt-get \\
    && echo '{"version": 0.1, "http": {"addr": ":5000"}, "storage": {"filesystem": {"rootdirectory": "/images"}}}' \\
    > /open.yml
"""
OPTIONS = (
    "--json --rm --pull=false --no-cache-server --use-gitignore=false --secret GITHUB_TOKEN=of-nobody"
    f" --platform ubuntu-latest={RUNNER}"
)
NOTHING = 'runs: {using: composite, steps: [{run: "true", shell: bash}]}'
KEPT = """
inputs: {name: {required: true}, path: {required: true}, if-no-files-found: {}, include-hidden-files: {}}
runs:
  using: composite
  steps:
    - run: if [ -e ${{ inputs.path }} ]; then cp -r ${{ inputs.path }} "/artifacts/${{ inputs.name }}"; fi
      shell: bash
"""
FEW_TESTS = " ".join(f"--ignore={folder}" for folder in ("test/contract", "test/simulation", "test/web"))
FEW_TESTS += " --ignore-glob=test/unit/test_[!o]*"
REAL_IMAGES = {name: os.environ[name] for name in ("BIOSEG_DATA_DIR",) if name in os.environ}
LONG_AGO = 10**9
"""Modification time of every file: what is installed is up to date."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of the workflow left: the result of each job that ran, what was said, and kept."""

    code: int
    jobs: Mapping[str, str]
    said: str
    artifacts: Path


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that holds a copy of this folder, and what runs its workflow."""

    folder: Path
    registry: str
    port: int
    away: Path

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "init.defaultBranch=main")
        return output("git", "-C", str(self.folder), *who, *arguments)

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")
        return self.git("rev-parse", "HEAD")

    def push(self, before: str, **variables: str) -> Ran:
        """Run the workflow as a push on the commit before would."""
        for file in self.folder.rglob("*"):
            os.utime(file, (LONG_AGO, LONG_AGO), follow_symlinks=False)
        event = {"before": before, "ref": "refs/heads/main", "repository": {"fork": False, "default_branch": "main"}}
        (self.away / "event.json").write_text(json.dumps(event))
        stand_ins = {pinned: f"{self.away}/actions/{pinned.partition('@')[0]}" for pinned in pinned_actions()}
        command = [str(PIPELINE / "bin/act"), "push", *OPTIONS.split(), "--workflows", WORKFLOW]
        command += ["--eventpath", f"{self.away}/event.json", "--container-options", " ".join(self._mounts())]
        command += pairs("--var", {"REGISTRY": f"{self.registry}/", **variables})
        command += pairs("--env", self._environment())
        command += pairs("--local-repository", stand_ins)
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        said = "\n".join(f"{line.get('jobID', '')}: {line['msg'].rstrip()}" for line in lines)
        jobs = {line["jobID"]: line["jobResult"] for line in lines if "jobResult" in line}
        (self.away / "log").write_text(said + done.stderr)
        return Ran(done.returncode, jobs, said + done.stderr, self.away / "artifacts")

    def _mounts(self) -> Iterator[str]:
        """What is installed and the real images, read only; where artifacts and downloads are kept."""
        folders = {sys.prefix, sys.base_prefix, str(PIPELINE), *REAL_IMAGES.values()} - {"/usr"}
        programs = [shutil.which(program) for program in ("docker", "kubectl")]
        for path in (*folders, *filter(None, programs)):
            yield f"--volume {path}:{path}:ro"
        yield f"--volume {self.away / 'artifacts'}:/artifacts"
        yield f"--volume {Path.home() / '.cache/pip'}:/root/.cache/pip"

    def _environment(self) -> dict[str, str]:
        installed = {"VENV": sys.prefix, "PIPELINE": PIPELINE, **REAL_IMAGES}
        return {
            "MAKEFLAGS": " -- " + " ".join(f"{name}={value}" for name, value in installed.items()),
            "PYTHONPATH": f"{self.folder / 'Source'}:{self.folder}",
            "PYTEST_ADDOPTS": FEW_TESTS,
            "DOCKER_MANIFEST_FLAGS": "--insecure",
        }


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """A registry of this machine's own."""
    subprocess.run(["docker", "build", "--quiet", "--tag", RUNNER, "-"], input=DOCKERFILE, text=True, check=True)
    run = ("docker", "run", "--rm", "--detach", "--publish", "127.0.0.1::5000", RUNNER)
    container = output(*run, "docker-registry", "serve", "/open.yml")
    address = "localhost:" + output("docker", "port", container, "5000").rpartition(":")[2]
    yield address
    output("docker", "stop", container)
    pushed = output("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", f"{address}/*").split()
    subprocess.run(["docker", "rmi", "--force", *pushed], check=False, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, registry: str, free_port: int) -> Iterator[Repository]:
    """A repository with one commit, that deploys to a container at a free port."""
    folder, away = tmp_path / "bioseg", tmp_path / "away"
    for name in output("git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    if (ROOT / CHECKED).exists():
        shutil.copytree(ROOT / CHECKED, folder / CHECKED)
    # act names containers by workflow and job: two runs beside each other would take each other's away
    written = (folder / WORKFLOW).read_text(encoding="utf-8")
    (folder / WORKFLOW).write_text(written.replace("name: CI_CD", f"name: CI_CD-{free_port}", 1), encoding="utf-8")
    (away / "artifacts").mkdir(parents=True)
    for pinned in pinned_actions():
        name = pinned.partition("@")[0]
        (away / "actions" / name).mkdir(parents=True)
        action = KEPT if name == "actions/upload-artifact" else NOTHING
        (away / "actions" / name / "action.yml").write_text(f"name: stand-in\ndescription: stand-in\n{action}")
    container, address = f"bioseg-deployed-{free_port}", f"127.0.0.1:{free_port}"
    here = folder / "deploy/here"
    here.mkdir(parents=True, exist_ok=True)
    scripts = {
        "deploy": f'docker run --detach --name {container} --publish {address}:8000 "$2bioseg-application:$3"',
        "rollback": f"docker rm --force {container}",
    }
    for name, command in scripts.items():
        (here / name).write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{command}\n")
        (here / name).chmod(0o755)
    made = Repository(folder, registry, free_port, away)
    made.git("init", "--quiet")
    made.commit()
    yield made
    subprocess.run(["docker", "rm", "--force", container], check=False, capture_output=True)


def pairs(option: str, values: Mapping[str, str]) -> list[str]:
    """The option once for each name and value."""
    return [part for name, value in values.items() for part in (option, f"{name}={value}")]


def output(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def pinned_actions() -> set[str]:
    lines = (ROOT / WORKFLOW).read_text(encoding="utf-8").splitlines()
    return {line.split("uses: ")[1].split(" ")[0] for line in lines if "uses: " in line}


def test_a_good_commit_is_tested_gated_built_deployed_and_answers(repository):
    before = repository.git("rev-parse", "HEAD")
    url = f"http://localhost:{repository.port}"
    ran = repository.push(before, DEPLOY_TARGET="here", DEPLOY_URL=url)
    jobs = dict.fromkeys(["test", "gate", "build", "deploy", "smoke"], "success")
    assert (0, jobs) == (ran.code, ran.jobs), ran.said[-3000:]
    tags = requests.get(f"http://{repository.registry}/v2/bioseg-application/tags/list", timeout=10).json()["tags"]
    assert [before] == tags
    kept = sorted(file.name for file in ran.artifacts.rglob("*") if file.is_file())
    assert {"bioseg-application.cdx.json", "gate.json", "serve.cdx.json"} <= set(kept)


def test_a_failing_test_stops_everything_before_the_gate(repository):
    (repository.folder / "test/unit/test_overload.py").write_text(
        'def test_of_the_change():\n    assert len("change") == 1\n'
    )
    before = repository.git("rev-parse", "HEAD")
    repository.commit()
    ran = repository.push(before)
    assert (1, {"test": "failure"}) == (ran.code, ran.jobs), ran.said[-3000:]
    assert "1 failed" in ran.said


@pytest.mark.realdata
@pytest.mark.skipif("BIOSEG_DATA_DIR" not in os.environ, reason="BIOSEG_DATA_DIR is not set")
def test_a_worse_bundle_stops_at_the_gate(repository):
    models = repository.folder / "data/models"
    champions = json.loads((models / "champions.json").read_text())
    before = repository.git("rev-parse", "HEAD")
    as_version(models / "membrane" / champions["membrane"], "worse", threshold=0.98)
    (models / "champions.json").write_text(json.dumps({**champions, "membrane": "worse"}))
    repository.commit()
    ran = repository.push(before)
    assert (1, {"test": "success", "gate": "failure"}) == (ran.code, ran.jobs), ran.said[-3000:]
    assert "membrane worse: rollback: " in ran.said

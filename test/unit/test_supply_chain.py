import json
import re
import subprocess
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = {file.stem: file for file in sorted((ROOT / "requirements").glob("*.txt"))}

SERVE = ("serve", "tracking")
EVERYTHING = (*SERVE, "train", "test")
EXTRAS = {
    "serve": SERVE,
    "everything": EVERYTHING,
    "benchmarks": (*EVERYTHING, "bench"),
    "compare": ("compare",),
    "application": ("serve",),
}
TOOLS = ("build", "supply")
GROUPS = {
    "serve": ("build",),
    "everything": TOOLS,
    "benchmarks": TOOLS,
    "compare": ("build",),
    "pipeline": ("pipeline",),
    "emulator": ("emulator",),
    "application": (),
    "build": ("build",),
    "conformance": ("conformance",),
}
IMAGES = {"application": "application", "mlflow": "Mlflow", "conformance": "test"}
"""Locks of what runs in a container, and where its Dockerfile lies."""

PERMISSIVE = re.compile(r"\b(Apache|BSD|HPND|ISC|MIT|MPL|Mozilla|PSF|Python Software Foundation|Unlicense)\b")
COPYLEFT = re.compile(r"GPL|General Public License|Affero")
UNDERSTOOD_LICENCES = {
    "huey": "MIT, in its LICENSE file alone",
    "psycopg": "LGPL: imported unmodified, and anyone may put another version in its place",
    "psycopg-binary": "LGPL: imported unmodified, and anyone may put another version in its place",
    "skops": "MIT, in its LICENSE file alone",
}


def pins(lock: str) -> dict[str, str]:
    """Versions that a lock pins, by canonical name."""
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", LOCKS[lock].read_text(encoding="utf-8"), re.MULTILINE))


def asked(lock: str) -> list[Requirement]:
    """What pyproject.toml asks for where this lock is installed."""
    project = PROJECT["project"]
    ours = project["dependencies"] if lock in EXTRAS else []
    extras = [line for extra in EXTRAS.get(lock, ()) for line in project["optional-dependencies"][extra]]
    groups = [line for group in GROUPS[lock] for line in PROJECT["dependency-groups"][group]]
    return [Requirement(line) for line in ours + extras + groups]


def licence(package: str) -> str:
    """What a package's metadata says of its licence: expression, classifiers and the first line of the old field."""
    facts = metadata(package)
    classifiers = [line for line in facts.get_all("Classifier", []) if line.startswith("License ::")]
    field = (facts.get("License") or "").strip().splitlines()
    return "; ".join([facts.get("License-Expression") or "", *classifiers, *field[:1]])


def test_there_is_a_lock_for_every_way_of_installing():
    here, elsewhere = (
        {"serve", "everything", "benchmarks", "compare", "cuda", "torch-cpu"},
        {"build", "pipeline", "emulator"},
    )
    assert here | elsewhere | IMAGES.keys() == LOCKS.keys()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_exact_versions_and_hashes_alone(lock):
    lines = [line for line in LOCKS[lock].read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    known = re.compile(r"[a-z0-9.-]+==[\w.+]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not known.fullmatch(line)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_of_a_lock_has_a_hash(lock):
    text = LOCKS[lock].read_text(encoding="utf-8")
    hashed = re.findall(r"^([a-z0-9.-]+)==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)
    assert sorted(pins(lock)) == sorted(hashed)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("serve", "everything"),
        ("everything", "benchmarks"),
        ("build", "everything"),
        *((lock, "everything") for lock in IMAGES),
    ],
)
def test_a_lock_pins_what_the_wider_one_pins(narrow, wide):
    assert pins(narrow).items() <= pins(wide).items()


@pytest.mark.parametrize("package", ["mlflow", "numpy", "opencv-python-headless", "openvino", "pillow"])
def test_other_servers_are_measured_on_the_versions_that_we_serve_with(package):
    assert pins("serve")[package] == pins("compare")[package]


@pytest.mark.parametrize("lock", GROUPS)
def test_a_lock_holds_what_the_project_asks_for(lock):
    locked = pins(lock)
    unmet = [
        str(one) for one in asked(lock) if not one.specifier.contains(locked.get(canonicalize_name(one.name), "0"))
    ]
    assert unmet == []


def test_torch_stays_at_the_version_whose_cpu_build_is_known():
    assert [pins("everything")["torch"], pins("everything")["torchvision"]] == ["2.13.0", "0.28.0"]


def test_the_cpu_build_is_one_of_the_locked_version():
    assert pins("torch-cpu") == {"torch": pins("everything")["torch"] + "+cpu"}


@pytest.mark.parametrize("lock", ["serve", "everything", "benchmarks"])
def test_nvidias_libraries_come_only_where_torch_asks_for_them(lock):
    assert pins(lock).keys() & pins("cuda").keys() == set()


def test_make_installs_nothing_but_what_is_locked(tmp_path):
    folders = [f"{name}={tmp_path / name}" for name in ("VENV", "RIVALS", "PIPELINE")]
    dry_run = ["make", "-n", *folders, "setup", "serve", "bench", "lock", "wheel", "lint-pipeline"]
    said = subprocess.run(dry_run, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    installs = [line for line in said.splitlines() if "pip install" in line]
    assert len(installs) >= len(LOCKS) - len(IMAGES) - 1
    assert [line for line in installs if "--require-hashes" not in line and "--no-index" not in line] == []


@pytest.mark.parametrize(("lock", "folder"), IMAGES.items())
def test_an_image_installs_nothing_but_what_is_locked(lock, folder):
    text = (ROOT / folder / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip (?:--python \S+ )?install [^&\n]*", text)
    assert any(f"/requirements/{lock}.txt" in line for line in installs)
    assert [line for line in installs if "--require-hashes" not in line and "--no-index" not in line] == []


def test_the_application_serves_without_a_tracking_server():
    assert {"mlflow", "mlflow-skinny"} & pins("application").keys() == {"mlflow-skinny"}


@pytest.mark.parametrize("package", pins("serve"))
def test_what_serves_has_a_permissive_licence_or_one_that_was_looked_at(package):
    said = licence(package)
    assert package in UNDERSTOOD_LICENCES or (PERMISSIVE.search(said) and not COPYLEFT.search(said)), said


def test_every_finding_of_the_secrets_baseline_was_looked_at():
    baseline = json.loads((ROOT / ".secrets.baseline").read_text(encoding="utf-8"))
    findings = [finding for found in baseline["results"].values() for finding in found]
    assert [finding for finding in findings if finding.get("is_secret") is not False] == []

"""docker-compose.yml and .env.example, read without an engine."""

import re
from pathlib import Path

import pytest
import yaml

from bioseg.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
SETTINGS = {f"BIOSEG_{name.upper()}" for name in Settings.model_fields}
OF_THE_IMAGE = {"BIOSEG_STATE_DIR", "BIOSEG_MODELS_DIR"}
WITHOUT_USE = {"BIOSEG_DATA_DIR", "BIOSEG_RUNTIME", "BIOSEG_MLFLOW_PORT"}
"""Settings of what the image does not hold: datasets, training frameworks, a tracking server."""


def test_every_setting_reaches_the_application() -> None:
    passed_on = set(SERVICES["application"]["environment"])
    assert SETTINGS - OF_THE_IMAGE - WITHOUT_USE == passed_on & SETTINGS


def test_no_secret_has_a_default() -> None:
    environment = SERVICES["application"]["environment"]
    secret = {name for name in environment if re.search("KEY|TOKEN|SECRET", name)}
    assert {None} == {environment[name] for name in secret}
    assert "${POSTGRES_PASSWORD:-}" == SERVICES["database"]["environment"]["POSTGRES_PASSWORD"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_confined(service: str) -> None:
    chosen = SERVICES[service]
    assert (True, ["ALL"], ["no-new-privileges:true"]) == (
        chosen["read_only"],
        chosen["cap_drop"],
        chosen["security_opt"],
    )
    assert {"cpus", "memory", "pids"} == chosen["deploy"]["resources"]["limits"].keys()


def test_ports_are_published_on_this_machine_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert 3 == len(published)


def test_nothing_waits_for_the_tracking_server() -> None:
    waits = {service: chosen.get("depends_on", {}).get("mlflow") for service, chosen in SERVICES.items()}
    assert {"application": {"condition": "service_started", "required": False}} == {
        service: how for service, how in waits.items() if how
    }


def test_everything_in_the_example_is_read_and_nothing_of_it_is_in_force() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    named = {match[1] for line in lines if (match := re.match(r"# ([A-Z0-9_]+)=", line))}
    read = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert [name for name in named if not re.search(rf"\b{name}\b", read)] == []
    assert [line for line in lines if line and not line.startswith("#")] == []

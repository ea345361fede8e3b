from pathlib import Path

import pytest

from application import create_app
from bioseg import service
from bioseg.cli import cli
from bioseg.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = [file for folder in ("Source/bioseg", "application") for file in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_readme_documents_every_setting(name):
    assert f"`BIOSEG_{name.upper()}`" in README


@pytest.mark.parametrize("name", cli.commands)
def test_the_readme_documents_every_command(name):
    assert f"bioseg {name}" in README or f"`{name}`" in README


@pytest.mark.parametrize(
    "file", [file for file in MODULES if not file.name.startswith("__")], ids=lambda file: file.name
)
def test_the_readmes_tree_lists_every_module(file):
    assert f" {file.name} " in README


def test_the_readme_documents_every_call_of_the_api(tmp_path):
    app = create_app(service.open_platform(Settings(state_dir=tmp_path)))
    rules = {rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/") or rule.rule.endswith("z")}
    documented = README.replace("`image.png`, `overlay.png`, `probability.png`", "").replace("{id}", "<id:request_id>")
    pictures = {f"/api/v1/requests/<id:request_id>/{what}.png" for what in ("image", "overlay", "probability")}

    assert [rule for rule in sorted(rules - pictures) if f"{rule}`" not in documented] == []

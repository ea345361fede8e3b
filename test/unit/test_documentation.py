from pathlib import Path

import click
import pytest

from application import create_app
from bioseg.cli import cli
from bioseg.platform import open_platform
from bioseg.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tree() -> list[Path]:
    """Paths that the README's tree lists: names and two blanks before what is said of them, two of indent a folder."""
    block = README.split("```text\n")[1].split("```")[0]
    paths: list[Path] = []
    folders: list[Path] = []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        parent = folders[depth - 1] if depth else Path()
        names = line.strip().split("  ")[0].split()
        paths += [parent / name for name in names]
        folders[depth:] = [parent / names[0]]
    return paths


def of_no_study(paths: set[Path]) -> set[Path]:
    return {path for path in paths if path.parent.name != "studies"}


TREE = tree()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_readme_documents_every_setting(name):
    assert f"`BIOSEG_{name.upper()}`" in README


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_the_readme_documents_every_command(name):
    assert f"bioseg {name}" in README or f"`{name}`" in README


def test_the_readmes_tree_lists_every_module_in_its_place():
    files = [file for folder in ("Source/bioseg", "application") for file in (ROOT / folder).rglob("*.py")]
    modules = {file.relative_to(ROOT) for file in files if not file.name.startswith("__")}
    # a new study is one new file, and no edit here
    assert of_no_study(modules) == of_no_study({path for path in TREE if path.suffix == ".py"})


def test_the_readmes_tree_lists_only_what_there_is():
    assert [] == [str(path) for path in TREE if not (ROOT / path).exists()]


def test_the_readme_documents_every_call_of_the_api(tmp_path):
    app = create_app(open_platform(Settings(state_dir=tmp_path)))
    rules = {rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/") or rule.rule.endswith("z")}
    documented = README.replace("`image.png`, `overlay.png`, `probability.png`", "").replace("{id}", "<id:request_id>")
    pictures = {f"/api/v1/requests/<id:request_id>/{what}.png" for what in ("image", "overlay", "probability")}

    assert [rule for rule in sorted(rules - pictures) if f"{rule}`" not in documented] == []

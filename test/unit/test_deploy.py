"""What the folders of deploy/ tell Bioseg is something that Bioseg listens to."""

import re
from pathlib import Path

import pytest

from bioseg.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
KNOWN = {f"BIOSEG_{name.upper()}" for name in Settings.model_fields}
TOLD = sorted(file for file in DEPLOY.rglob("*") if file.is_file() and "BIOSEG_" in file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", TOLD, ids=lambda file: str(file.relative_to(DEPLOY)))
def test_every_variable_is_a_setting(file: Path) -> None:
    told = set(re.findall(r"\bBIOSEG_[A-Z0-9_]+", file.read_text(encoding="utf-8")))
    assert told - KNOWN == set()

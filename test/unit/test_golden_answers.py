"""The golden answers of the conformance suite are those of the champions that ship."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
REMEDY = "run `make serve`, then: python test/conformance/renew.py http://127.0.0.1:8000"


def test_the_golden_answers_are_those_of_the_shipped_champions() -> None:
    golden = json.loads((ROOT / "test/conformance/golden/answers.json").read_text())["versions"]
    champions = json.loads((ROOT / "data/models/champions.json").read_text())
    assert {study: champions[study] for study in golden} == golden, REMEDY

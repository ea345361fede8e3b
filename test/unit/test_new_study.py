"""A new study is one new file: the one that docs/new-study.md shows is trained, scored, served and gated as it is."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from application import create_app
from bioseg import bundles, images, settings, studies
from bioseg.platform import open_platform
from bioseg.testing import twins

Bioseg = Callable[..., Any]
PAGE = Path(__file__).parents[2] / "docs" / "new-study.md"
SECTIONS = 24


@pytest.fixture
def cells(add_study: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bioseg: Bioseg) -> None:
    """The page's file among the studies, and drawn images where its reader looks for them."""
    add_study(PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0])
    for number in range(SECTIONS):
        image, interior = twins.membrane_section(number, 64)
        for what, picture in (("image", image), ("mask", interior.astype(np.uint8) * 255)):
            (tmp_path / "data/cells" / what).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / f"data/cells/{what}/{number}.png"), picture)
    monkeypatch.setenv("BIOSEG_DATA_DIR", str(tmp_path / "data"))


@pytest.mark.usefixtures("few_pairs")
def test_the_page_s_study_is_trained_scored_served_and_gated(cells: None, bioseg: Bioseg, tmp_path: Path) -> None:
    trained = bioseg("train", "cells", "--recipe", "quick", "--name", "v1")
    assert 0 == trained.code, trained
    folder = Path(trained.out.strip())
    card = (folder / bundles.CARD).read_text(encoding="utf-8")
    study = studies.get("cells")
    told = (study.notice, study.known_failures[0], study.datasets[0].licence)
    assert [] == [text for text in told if text not in card]

    assert 0 == bioseg("promote", "cells", "v1").code
    assert "cells: Cells in electron microscopy (segmentation, screened by kinds); champion v1" in bioseg("studies").out
    report = json.loads(bioseg("evaluate", "cells", "--json").out)
    assert ("cells", "v1", True) == (report["study"], report["version"], report["metrics"]["dice"]["mean"] > 0.6)
    assert f"{2 * SECTIONS} without a known hash" in bioseg("data", "fetch", "cells").out

    served_and_screened()
    blind = blind_version(folder)
    assert 4 == bioseg("gate", "cells", "--candidate", blind).code


def served_and_screened() -> None:
    """Upload a section, which gets a mask, and a colourful picture, which the screen refuses."""
    client = create_app(open_platform(settings.load())).test_client()
    section = images.encode_png(twins.membrane_section(99, 96)[0])
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    photo = images.encode_png(np.kron(colours, np.ones((32, 32, 1), np.uint8)))
    answers = [
        client.post("/api/v1/segment", data={"image": (io.BytesIO(data), "a.png"), "study": "cells"})
        for data in (section, photo)
    ]
    assert [200, 422] == [answer.status_code for answer in answers]
    assert 0.4 < answers[0].json["foreground_fraction"] < 1
    assert "Cells in electron microscopy" in client.get("/").text


def blind_version(folder: Path) -> str:
    """Publish the same network at a threshold that nothing exceeds; gives its name."""
    bundle = bundles.read(folder)
    shutil.copytree(folder, folder.with_name("blind"))
    (folder.with_name("blind") / bundles.MANIFEST).unlink()
    contract = bundle.contract.model_copy(update={"version": "blind", "threshold": 0.999})
    bundles.seal(folder.with_name("blind"), contract, created="2026-01-01T00:00:00Z", metrics={}, provenance={})
    return "blind"

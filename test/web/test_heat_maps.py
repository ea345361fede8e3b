"""Where the evidence for a class lies: from the upload to the picture, and away again."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from application import create_app
from bioseg import bundles, images
from bioseg.bundles import Bundle
from bioseg.datasets.kinds import KINDS
from bioseg.decoding.confined import Confined
from bioseg.inference import Floats, Predictor
from bioseg.platform import Platform, open_platform
from bioseg.settings import Settings
from bioseg.testing import stand_ins

HEIGHT, WIDTH = 60, 80


def is_brain(batch: Floats) -> Floats:
    """(N, H, W, 3) -> logits (N, kinds): brain MRI."""
    logits = np.zeros((len(batch), len(KINDS)), np.float32)
    logits[:, KINDS.index("brain MRI")] = 9.0
    return logits


def load(bundle: Bundle, threads: int) -> Predictor:
    return is_brain if bundle.contract.study == "kinds" else stand_ins.load(bundle, threads)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-ins, but that everything is brain MRI to the screen."""
    folder = stand_ins.write(tmp_path_factory.mktemp("models"))
    screen = folder / "kinds" / stand_ins.SCREEN.version
    batch, _ = bundles.read(screen).sample()
    np.savez(screen / bundles.SAMPLE, input=batch, output=is_brain(batch))
    bundles.seal(screen, stand_ins.SCREEN, created="2026-01-01T00:00:00Z", metrics={}, provenance={})
    return folder


@pytest.fixture
def platform(tmp_path: Path, models: Path, confined: Confined) -> Platform:
    opened = open_platform(
        Settings(state_dir=tmp_path, models_dir=models, secret_key="a key that only tests know"), load, load
    )
    return replace(opened, decode=confined)


@pytest.fixture
def client(platform: Platform) -> FlaskClient:
    return create_app(platform).test_client()


@pytest.fixture
def head() -> np.ndarray:
    """A dark picture with a bright place in its lower right."""
    picture = np.full((HEIGHT, WIDTH), 20, np.uint8)
    picture[45:, 60:] = 250
    return picture


@pytest.fixture
def answer(client: FlaskClient, head: np.ndarray) -> dict:
    form = {"image": (io.BytesIO(images.encode_png(head)), "head.png"), "study": "brain"}
    return client.post("/api/v1/classify", data=form).json


def test_a_classification_names_its_heat_map(answer: dict) -> None:
    assert answer["label"] == "yes"
    assert answer["heatmap_url"] == f"/api/v1/requests/{answer['id']}/heatmap.png"


def test_the_record_names_it_as_well(client: FlaskClient, answer: dict) -> None:
    assert client.get(f"/api/v1/requests/{answer['id']}").json["heatmap_url"] == answer["heatmap_url"]


def test_the_heat_map_is_red_where_the_evidence_is_and_blue_elsewhere(client: FlaskClient, answer: dict) -> None:
    shown = images.decode_png(client.get(answer["heatmap_url"]).data).astype(int)
    assert shown.shape == (HEIGHT, WIDTH, 3)
    red, _, blue = shown[55, 75]
    assert red > blue
    red, _, blue = shown[5, 5]
    assert blue > red


def test_a_class_by_place_is_the_mean_of_its_evidence(answer: dict, head: np.ndarray) -> None:
    square = images.resize_square(head, 32) / 255
    logit = 40 * square.mean() - 1
    assert answer["probabilities"]["yes"] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)


def test_deleting_a_request_removes_its_heat_map(client: FlaskClient, platform: Platform, answer: dict) -> None:
    platform.pictures.settle_waiting()
    client.delete(f"/api/v1/requests/{answer['id']}")
    assert client.get(answer["heatmap_url"]).status_code == 404
    blobs = Path(platform.settings.resolved_blobs.removeprefix("folder:"))
    assert [] == [file for file in blobs.rglob("*") if file.is_file()]


@pytest.mark.parametrize("what", ["mask", "overlay", "probability"])
def test_a_classification_has_no_pictures_of_a_mask(client: FlaskClient, answer: dict, what: str) -> None:
    assert client.get(f"/api/v1/requests/{answer['id']}/{what}.png").status_code == 404

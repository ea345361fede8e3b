"""Where the evidence for a class lies: from the upload to the picture, and away again."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from application import create_app
from bioseg import images
from bioseg.bundles import Bundle, Contract
from bioseg.datasets.kinds import KINDS
from bioseg.decoding.confined import Confined
from bioseg.inference import Floats, Predictor
from bioseg.platform import Platform, open_platform
from bioseg.registry.folder_registry import CHAMPIONS
from bioseg.settings import Settings
from bioseg.testing import stand_ins

BRAIN = stand_ins.SCREEN.model_copy(
    update={"study": "brain", "version": "7.8.9", "classes": ("no", "yes"), "evidence": "place"}
)
HEIGHT, WIDTH = 60, 80


def is_brain(batch: Floats) -> Floats:
    """(N, H, W, 3) -> logits (N, kinds): brain MRI."""
    logits = np.zeros((len(batch), len(KINDS)), np.float32)
    logits[:, KINDS.index("brain MRI")] = 9.0
    return logits


def bright_is_tumour(batch: Floats) -> Floats:
    """(N, 32, 32, 3) -> evidence (N, 4, 4, 2): for a tumour where it is bright."""
    bright = batch.mean(axis=3).reshape(len(batch), 4, 8, 4, 8).mean(axis=(2, 4))
    return np.asarray(np.stack([np.zeros_like(bright), 40 * bright - 1], axis=-1), np.float32)


def load(bundle: Bundle, _threads: int) -> Predictor:
    return is_brain if bundle.contract.study == "kinds" else bright_is_tumour


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("brain models")
    for contract, predict in ((BRAIN, bright_is_tumour), (stand_ins.SCREEN, is_brain)):
        write(folder / contract.study / contract.version, contract, predict)
    (folder / CHAMPIONS).write_text(f'{{"brain": "{BRAIN.version}", "kinds": "{stand_ins.SCREEN.version}"}}')
    return folder


def write(folder: Path, contract: Contract, predict: Predictor) -> None:
    bundle = stand_ins.seal(folder, contract)
    batch, _ = bundle.sample()
    np.savez(folder / "sample.npz", input=batch, output=predict(batch))
    stand_ins.bundles.seal(folder, contract, created=bundle.manifest.created, metrics={}, provenance={})


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

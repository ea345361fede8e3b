"""The seed's way to serve, for comparison: Keras on TensorFlow in the web process, and MLflow within the request."""

import base64
import io
import itertools
import time

import mlflow
import numpy as np
import psutil
from flask import Flask, request
from flask.typing import ResponseReturnValue
from mlflow import MlflowClient
from numpy.typing import NDArray
from PIL import Image

from bioseg.models import keras_unet

SIDE = 256


def create_app(tracking_uri: str) -> Flask:
    """Build the application; its network has the seed's architecture and random weights.

    `POST /predict` takes the part `image` and answers `{"mask": ...}`, a PNG of 256x256 pixels in base64.
    """
    mlflow.set_tracking_uri(tracking_uri)
    run_id = _start_run(MlflowClient(tracking_uri))
    model = keras_unet.plain_unet()
    steps = itertools.count()
    app = Flask(__name__)

    @app.get("/")
    def alive() -> ResponseReturnValue:
        return {"status": "ok"}

    @app.post("/predict")
    def predict() -> ResponseReturnValue:
        start = time.perf_counter()
        mask = model.predict(_network_input(request.files["image"].read()), verbose=0)[0, ..., 0] > 0.5
        step = next(steps)
        mlflow.log_metric("cpu_percent", psutil.cpu_percent(), step=step, run_id=run_id)
        mlflow.log_metric("memory_percent", psutil.virtual_memory().percent, step=step, run_id=run_id)
        mlflow.log_metric("latency_ms", 1e3 * (time.perf_counter() - start), step=step, run_id=run_id)
        return {"mask": base64.b64encode(_png(mask)).decode()}

    return app


def _start_run(client: MlflowClient) -> str:
    experiment = client.create_experiment("seeds_way")
    return str(client.create_run(experiment).info.run_id)


def _network_input(data: bytes) -> NDArray[np.float32]:
    """(1, 256, 256, 1) float32 in [0, 1]."""
    gray = Image.open(io.BytesIO(data)).convert("L").resize((SIDE, SIDE))
    pixels = np.asarray(gray, np.float32) / np.float32(255)
    return pixels[np.newaxis, ..., np.newaxis]


def _png(mask: NDArray[np.bool_]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()

"""Draw the uploads again and keep what a server with the shipped champions answers to them as golden.

`python test/conformance/renew.py http://127.0.0.1:8000`, with `make serve` running; needs bioseg itself.
"""

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from golden import DIFFERING_PIXELS, PICTURES, UPLOADS
from PIL import Image, ImageDraw
from server import Server

from bioseg import analysis, settings
from bioseg.decoding import formats
from bioseg.platform import open_models
from bioseg.testing.twins import membrane_section

ORIENTATION, QUARTER_TURN = 0x0112, 6
NEAR = 2e-5
"""A pixel whose probability is as near to the threshold may flip on another machine, or with another runtime."""
STEADY = ("f32", "int8")
"""Precisions in which machines agree, but for a pixel here and there: sums of 8 bits are exact."""
REFUSED = ("chart.png", "doubtful.png")
CLASSIFIED = ("section.png", "chart.png")


def draw() -> Mapping[str, bytes]:
    """Files by name: sections of several sizes, depths, colours and formats, a chart, and something in between."""
    exif = Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    gray = membrane_section(83, 192)[0][:160].astype(float)
    sepia = np.stack([gray, 0.94 * gray + 8, 0.85 * gray + 14], axis=-1).astype(np.uint8)
    deep = membrane_section(82)[0][:225].astype(np.uint16) * 37 + 900
    return {
        "section.png": _file(membrane_section(80)[0], "PNG"),
        "odd.png": _file(membrane_section(81)[0][:157, :211], "PNG"),
        "deep.tif": _file(deep, "TIFF", compression="tiff_adobe_deflate"),
        "sepia.png": _file(sepia, "PNG"),
        "turned.jpg": _file(membrane_section(63, 224)[0][:151], "JPEG", quality=92, exif=exif),
        "tiled.jpg": _file(membrane_section(84, 640)[0][:560, :600], "JPEG", quality=60),
        "doubtful.png": _file(_doubtful(), "PNG"),
        "chart.png": _file(_chart(), "PNG"),
    }


def _doubtful() -> np.ndarray:
    """A section that gives way to a smooth slope before its frame ends: the screen is not sure."""
    picture = np.repeat(np.linspace(40, 230, 256)[:, None], 256, axis=1).astype(np.uint8)
    picture[:, :212] = membrane_section(61)[0][:, :212]
    return picture


def _chart() -> np.ndarray:
    """Bars over an axis."""
    page = Image.new("RGB", (240, 180), "white")
    pen = ImageDraw.Draw(page)
    pen.line([(30, 10), (30, 150), (230, 150)], fill="black", width=2)
    for number, height in enumerate((60, 110, 35, 90)):
        left = 50 + 45 * number
        pen.rectangle([left, 150 - height, left + 28, 149], fill=("steelblue", "orange")[number % 2])
    return np.asarray(page)


def _file(image: np.ndarray, form: str, **given: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, form, **given)
    return file.getvalue()


def check_steady(uploads: Mapping[str, bytes]) -> None:
    """See that no upload has more pixels near the threshold than may differ: else another machine fails for nothing."""
    models = open_models(settings.load())
    arm = models.runtime.champion("membrane")
    for name, data in uploads.items():
        probability = analysis.segment(arm, formats.decode(data, models.limits)).probability
        near = np.abs(probability.astype(float) - arm.contract.threshold) < NEAR
        if near.mean() > DIFFERING_PIXELS:
            sys.exit(f"{name}: {near.sum()} pixels could flip on another machine; draw it with another seed")


def ask(server: Server, uploads: Mapping[str, bytes]) -> dict[str, Any]:
    """Send every upload; writes masks and probabilities, gives what the answers say."""
    answers: dict[str, Any] = {"versions": {}, "precision": "", "segment": {}, "refused": {}, "classify": {}}
    for name in sorted(uploads.keys() - set(REFUSED)):
        answer = _json(server.upload(uploads[name]), 200)
        if answer["precision"] not in STEADY:
            sys.exit(f"the server computes in {answer['precision']}: golden answers are in {' or '.join(STEADY)}")
        _keep(name, "mask", server.picture(answer["mask_url"]))
        _keep(name, "probability", server.picture(f"/api/v1/requests/{answer['id']}/probability.png"))
        answers["versions"] = {"membrane": answer["version"], "kinds": answer["screen"]["version"]}
        answers["precision"] = answer["precision"]
        answers["segment"][name] = _of_screen(answer)
    for name in REFUSED:
        answers["refused"][name] = _of_screen(_json(server.upload(uploads[name]), 422))
    for name in CLASSIFIED:
        answer = _json(server.upload(uploads[name], "classify", study="kinds"), 200)
        rounded = {kind: round(value, 5) for kind, value in answer["probabilities"].items()}
        answers["classify"][name] = {"label": answer["label"], "probabilities": rounded}
    return answers


def _json(answer: Any, status: int) -> dict[str, Any]:
    if answer.status_code != status:
        sys.exit(f"{answer.status_code} where {status} was expected: {answer.text}")
    return answer.json()


def _of_screen(answer: Mapping[str, Any]) -> dict[str, Any]:
    screen = answer["screen"]
    return {"verdict": screen["verdict"], "score": round(screen["score"], 5), "kind": screen["kind"]}


def _keep(name: str, what: str, picture: np.ndarray) -> None:
    image = Image.fromarray(picture).convert("1" if what == "mask" else "L")
    image.save(PICTURES / f"{Path(name).stem}.{what}.png", optimize=True)


def main(address: str) -> None:
    """Draw, ask, keep, and delete the uploads from the server again."""
    uploads = draw()
    check_steady({name: data for name, data in uploads.items() if name not in REFUSED})
    for name, data in uploads.items():
        (UPLOADS / name).write_bytes(data)
    server = Server(address)
    answers = ask(server, uploads)
    server.tidy()
    (PICTURES / "answers.json").write_text(json.dumps(answers, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

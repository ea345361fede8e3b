"""What stands in a file beside its pixels is kept nowhere and told nobody; a bad upload costs two log lines at most."""

import base64
import fcntl
import hashlib
import io
import logging
import signal
import struct
import sys
import termios
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import numpy as np
import psutil
import pytest
import requests
import tifffile
from flask.testing import FlaskClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bioseg.decoding import formats
from bioseg.images import Limits
from bioseg.platform import Platform
from bioseg.testing import hostile

Planted = dict[str, tuple[bytes, str]]
"""Files by the place of their marker, and the markers."""
PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}


def marker(place: str) -> str:
    return "mark" + hashlib.sha256(place.encode()).hexdigest()[:20]


def jpeg_of(picture: Image.Image, place: str) -> bytes:
    exif, mark = Image.Exif(), marker(place)
    match place:
        case "exif description":
            exif[270] = mark
        case "exif user comment":
            exif.get_ifd(0x8769)[37510] = b"ASCII\0\0\0" + mark.encode()
        case "exif gps":
            exif.get_ifd(0x8825)[29] = mark
        case "exif thumbnail":
            body = mark.encode() + b"\0"
            second = struct.pack("<HHHIII", 1, 270, hostile.ASCII, len(body), 32, 0)
            block = b"Exif\0\0II*\0" + struct.pack("<IHI", 8, 0, 14) + second + body
            return hostile.saved("JPEG", picture, exif=block)
    others = {"jpeg comment": "comment", "jpeg xmp": "xmp", "jpeg colour profile": "icc_profile"}
    options = {others[place]: mark.encode()} if place in others else {"exif": exif}
    return hostile.saved("JPEG", picture, quality=95, **options)


def png_of(picture: Image.Image, place: str) -> bytes:
    text, mark = PngInfo(), marker(place)
    match place:
        case "png text":
            text.add_text("Author", mark)
        case "png compressed text":
            text.add_text("Author", mark, zip=True)
        case "png international text":
            text.add_itxt("Author", mark, "en", mark, zip=False)
        case "png private chunk":
            text.add(b"prVt", mark.encode())
    data = hostile.saved("PNG", picture, pnginfo=text)
    if place == "zip behind a png":
        behind = io.BytesIO()
        with zipfile.ZipFile(behind, "w") as archive:
            archive.writestr(f"{mark}.txt", mark)
        return data + behind.getvalue()
    return data


def tiff_of(samples: np.ndarray, place: str) -> bytes:
    mark = marker(place)
    numbers = {"tiff description": 270, "tiff artist": 315, "tiff private tag": 65_000}
    if place in numbers:
        return hostile.tiff(samples, metadata=None, extratags=[(numbers[place], "s", 0, mark, True)])
    if place == "ome-xml":
        return hostile.tiff(samples, ome=True, metadata={"Name": mark, "axes": "YX"})
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(samples, metadata=None)
        small = samples[::2, ::2] if place == "tiff thumbnail" else samples
        writer.write(small, metadata=None, description=mark)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def planted(section: bytes) -> Planted:
    samples = formats.decode(section, Limits(10**6, 10**6))
    picture = Image.fromarray(samples)
    jpegs = ["exif description", "exif user comment", "exif gps", "exif thumbnail"]
    jpegs += ["jpeg comment", "jpeg xmp", "jpeg colour profile"]
    pngs = ["png text", "png compressed text", "png international text", "png private chunk", "zip behind a png"]
    tiffs = ["tiff description", "tiff artist", "tiff private tag", "ome-xml", "tiff thumbnail", "tiff stack"]
    files = {place: jpeg_of(picture, place) for place in jpegs}
    files |= {place: png_of(picture, place) for place in [*pngs, "file name"]}
    files |= {place: tiff_of(samples, place) for place in tiffs}
    files["gif comment"] = hostile.saved("GIF", picture, comment=marker("gif comment").encode())
    files["webp xmp"] = hostile.saved("WebP", picture, lossless=True, xmp=marker("webp xmp").encode())
    files["text"] = b"patient: " + marker("text").encode()
    return {place: (data, marker(place)) for place, data in files.items()}


REFUSED = {"tiff stack": 415, "text": 400}
COMPRESSED = {"png compressed text", "file name"}


def test_the_markers_stand_in_the_files(planted: Planted) -> None:
    assert COMPRESSED == {place for place, (data, mark) in planted.items() if mark.encode() not in data}


def broken(data: bytes) -> bytes:
    """Spoil the pixels and keep what stands beside them: nine bits a sample, a table or a row that ends too soon."""
    if data.startswith((b"II*\0", b"MM\0*")):
        return data.replace(struct.pack("<HHIH", 258, 3, 1, 8), struct.pack("<HHIH", 258, 3, 1, 9))
    zipped = data.find(b"PK\x03\x04")
    cut = data.rfind(b"IDAT") + 40 if data.startswith(hostile.PNG_MAGIC) else len(data) - 200
    return data[:cut] + (data[zipped:] if zipped > 0 else b"")


@pytest.fixture
def everywhere(
    client: FlaskClient, platform: Platform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Callable[[], Iterator[bytes]]:
    """All that can be fetched of this browser's requests, all that lies on the disk, and the log."""

    def give() -> Iterator[bytes]:
        while platform.pictures.settle_waiting():
            pass
        history = client.get("/api/v1/requests")
        yield history.data
        for record in history.json["requests"]:
            address = f"/api/v1/requests/{record['id']}"
            yield client.get(address).data
            for what in ("image", "mask", "overlay", "probability"):
                yield client.get(f"{address}/{what}.png").data
        yield from (file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
        yield caplog.text.encode()

    return give


def forms(mark: str) -> list[bytes]:
    """A marker as it might be written: in two encodings, and in base64 at its three phases."""
    plain = mark.encode()
    shifted = (base64.b64encode(bytes(phase) + plain)[4:-4] for phase in range(3))
    return [plain, mark.encode("utf-16-le"), mark.encode("utf-16-be"), *shifted]


def chunks(png: bytes) -> set[bytes]:
    names, offset = set(), 8
    while offset < len(png):
        names.add(png[offset + 4 : offset + 8])
        offset += 12 + int.from_bytes(png[offset : offset + 4])
    return names


def send(client: FlaskClient, data: bytes, mark: str) -> tuple[int, bytes]:
    form = {"image": (io.BytesIO(data), f"{mark}.png", f"image/{mark}")}
    answer = client.post("/api/v1/segment", data=form)
    return answer.status_code, answer.data


def leaks(planted: Planted, found: list[bytes]) -> list[str]:
    """Places of the markers that stand in what was found."""
    return [
        place for place, (_, mark) in planted.items() if any(form in text for form in forms(mark) for text in found)
    ]


def test_planted_markers_are_nowhere(
    client: FlaskClient,
    planted: Planted,
    everywhere: Callable[[], Iterator[bytes]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = {place: send(client, *planted[place]) for place in planted}
    found = [*(body for _, body in answers.values()), *everywhere()]

    assert dict.fromkeys(planted, 200) | REFUSED == {place: status for place, (status, _) in answers.items()}
    assert [] == leaks(planted, found)
    pictures = [text for text in found if text.startswith(hostile.PNG_MAGIC)]
    assert len(pictures) > 4 * (len(planted) - len(REFUSED))
    assert {b"IHDR", b"IDAT", b"IEND"} == {name for png in pictures for name in chunks(png)}


def test_markers_in_broken_files_are_nowhere(
    client: FlaskClient,
    planted: Planted,
    everywhere: Callable[[], Iterator[bytes]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [send(client, broken(data), mark) for data, mark in planted.values()]
    found = [*(body for _, body in answers), *everywhere()]

    assert {400, 415} == {status for status, _ in answers}
    assert [] == leaks(planted, found)


def test_markers_in_corrected_masks_are_nowhere(
    client: FlaskClient,
    planted: Planted,
    section: bytes,
    everywhere: Callable[[], Iterator[bytes]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    identity = client.post("/api/v1/segment", data={"image": (io.BytesIO(section), "a.png")}).json["id"]
    found = []
    for place, (data, mark) in planted.items():
        form = {"mask": (io.BytesIO(data), f"{mark}.png", f"image/{mark}")}
        answer = client.post(f"/api/v1/requests/{identity}/feedback", data=form)
        assert REFUSED.get(place, 200) == answer.status_code
        found += [answer.data, *everywhere()]

    assert [] == leaks(planted, found)


def test_a_bad_upload_costs_two_log_lines_at_most(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lines = []
    for name, data in hostile.mutations(23, 60):
        caplog.clear()
        send(client, data, "upload")
        lines.append((len(caplog.records), name))

    assert 2 >= max(lines)[0], max(lines)


def test_a_real_server_says_no_more_and_outlives_the_death_of_a_decoder(guarded_server: object, section: bytes) -> None:
    def post(data: bytes) -> tuple[int, list[str]]:
        before = len(guarded_server.log.read_text().splitlines())
        answer = requests.post(
            f"{guarded_server.address}/api/v1/segment",
            files={"image": ("a.png", data)},
            headers={"Authorization": f"Bearer {guarded_server.api_token}"},
            timeout=60,
        )
        return answer.status_code, _settled(guarded_server.log)[before:]

    outcomes = [post(data) for _, data in hostile.mutations(31, 12)]
    assert [] == [(status, lines) for status, lines in outcomes if status >= 500 or len(lines) > 2]

    decoders = [process for process in psutil.Process().children(recursive=True) if _decodes_for_another(process)]
    for process in decoders:
        process.send_signal(signal.SIGSTOP)
    Thread(target=_kill_when_one_is_asked, args=(decoders,)).start()
    status, lines = post(section)

    assert (400, 2) == (status, len(lines)), lines
    assert 1 == len([line for line in lines if "ended its process" in line])
    assert 200 == post(section)[0]


def _decodes_for_another(process: psutil.Process) -> bool:
    return "bioseg.decoding.child" in process.cmdline() and process.ppid() != psutil.Process().pid


def _kill_when_one_is_asked(stopped: list[psutil.Process]) -> None:
    """Kill decoders that are stopped, as soon as a file waits for one of them."""
    with ExitStack() as stack:
        inputs = [stack.enter_context(Path(f"/proc/{process.pid}/fd/0").open("rb")) for process in stopped]
        deadline = time.monotonic() + 30
        while not any(_waiting(each) for each in inputs) and time.monotonic() < deadline:
            time.sleep(0.01)
        for process in stopped:
            process.kill()


def _waiting(pipe: BinaryIO) -> int:
    """How many bytes nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def _settled(log: Path) -> list[str]:
    """Lines of a log that is no longer written to."""
    text = log.read_text()
    while True:
        time.sleep(0.2)
        if text == log.read_text():
            return text.splitlines()
        text = log.read_text()

"""Hostile files cannot crash, hang, bloat or make talk the process that decodes them elsewhere."""

import io
import json
import logging
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioseg import helped, images
from bioseg.decoding import formats, wire
from bioseg.decoding.confined import Confined
from bioseg.errors import ImageError, ProcessFailed, UnreadableImage
from bioseg.testing import hostile

LIMITS = images.Limits(max_bytes=2_000_000, max_pixels=1_000_000)
GOOD = hostile.good()
CRAFTED = hostile.crafted()
MEMORY = "more memory to decode than is allowed"


@pytest.fixture(scope="module")
def confined() -> Iterator[Confined]:
    made = Confined(2)
    yield made
    made.close()


@pytest.fixture
def own() -> Iterator[Confined]:
    """A decoder that a test may harm, with one child and two seconds."""
    made = Confined(1, seconds=2)
    made.start()
    yield made
    made.close()


def children() -> list[psutil.Process]:
    every = psutil.Process().children()
    return [child for child in every if child.is_running() and "bioseg.decoding.child" in child.cmdline()]


def child_of(own: Confined) -> psutil.Process:
    """The youngest child: the one that `own` has just started."""
    assert own is not None
    return max(children(), key=lambda child: child.create_time())


def outcome(decode: object, data: bytes) -> object:
    try:
        image = decode(data, LIMITS)
    except ImageError as error:
        return type(error), str(error)
    return image.dtype, image.shape, image.tobytes()


@pytest.mark.parametrize("name", GOOD)
def test_it_decodes_as_this_process_does(confined: Confined, name: str) -> None:
    expected = outcome(formats.decode, GOOD[name])

    assert expected == outcome(confined, GOOD[name])
    assert expected[1][:2] == (24, 32)


@pytest.mark.parametrize("data", [b"", b"text", b"%PDF", b"PK\x03\x04", hostile.animated("GIF"), GOOD["png"][:500]])
def test_it_refuses_as_this_process_does(confined: Confined, data: bytes) -> None:
    assert outcome(formats.decode, data) == outcome(confined, data)


def test_an_image_is_contiguous_and_writeable(confined: Confined) -> None:
    image = confined(GOOD["png"], LIMITS)

    assert (image.flags.c_contiguous, image.flags.writeable) == (True, True)


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_file_is_decoded_or_refused_in_little_time(confined: Confined, name: str) -> None:
    started = time.monotonic()
    outcome(confined, CRAFTED[name])

    assert time.monotonic() - started < 5


def test_damaged_files_raise_image_errors_and_end_no_child(
    confined: Confined, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = [outcome(confined, data) for _, data in hostile.mutations(11, 400)]

    assert 400 == len(outcomes)
    assert [] == caplog.records


def test_a_file_that_takes_too_long_is_refused_and_the_next_one_decoded(
    own: Confined, caplog: pytest.LogCaptureFixture
) -> None:
    hung = child_of(own)
    hung.send_signal(signal.SIGSTOP)

    with pytest.raises(UnreadableImage, match=r"takes more than 2 s to decode\. Save it again"):
        own(GOOD["png"], LIMITS)

    (record,) = caplog.records
    assert (logging.WARNING, True) == (record.levelno, "decoding PNG of 2,396 bytes" in record.getMessage())
    assert "SIGKILL after 2." in record.getMessage()
    assert not hung.is_running()
    assert (24, 32, 3) == own(GOOD["png"], LIMITS).shape


@pytest.mark.parametrize(
    ("number", "what"), [(signal.SIGKILL, MEMORY), (signal.SIGSEGV, "damaged such that decoding it fails")]
)
def test_a_file_that_ends_its_process_is_refused_and_the_next_one_decoded(
    own: Confined, caplog: pytest.LogCaptureFixture, number: signal.Signals, what: str
) -> None:
    child = child_of(own)
    child.send_signal(signal.SIGSTOP)
    Timer(0.3, lambda: (child.send_signal(number), child.send_signal(signal.SIGCONT))).start()

    with pytest.raises(UnreadableImage, match=what):
        own(GOOD["jpeg"], LIMITS)

    (record,) = caplog.records
    assert number.name in record.getMessage()
    assert (24, 32, 3) == own(GOOD["jpeg"], LIMITS).shape


def test_a_file_that_takes_too_much_memory_is_refused_and_the_next_one_decoded(
    own: Confined, caplog: pytest.LogCaptureFixture
) -> None:
    child = child_of(own)
    held = sum(part.private_dirty for part in child.memory_maps())
    resource.prlimit(child.pid, resource.RLIMIT_DATA, (held + 2**20, held + 2**20))

    with pytest.raises(UnreadableImage, match=MEMORY):
        own(images.encode_png(np.zeros((4000, 4000, 3), np.uint8)), images.Limits(2_000_000, 17_000_000))

    assert 1 == len(caplog.records)
    assert (24, 32, 3) == own(GOOD["png"], LIMITS).shape


def test_a_child_that_died_idle_is_replaced_in_silence(own: Confined, caplog: pytest.LogCaptureFixture) -> None:
    child = child_of(own)
    child.kill()
    while child.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)

    assert (24, 32, 3) == own(GOOD["png"], LIMITS).shape
    assert [] == caplog.records


def test_many_threads_share_few_children() -> None:
    before = {child.pid for child in children()}
    decode = Confined(2)
    files = [GOOD[name] for name in sorted(GOOD)] * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda data: outcome(decode, data), files))
    started = {child.pid for child in children()} - before
    decode.close()

    assert [outcome(formats.decode, data) for data in files] == found
    assert 1 <= len(started) <= 2


def test_a_child_gets_no_secret_no_file_and_no_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSEG_SECRET_KEY", "hidden")
    decode = Confined(1)
    decode.start()
    folder = Path(f"/proc/{child_of(decode).pid}")
    decode(GOOD["png"], LIMITS)

    assert b"hidden" not in (folder / "environ").read_bytes()
    targets = {file.name: str(file.readlink()) for file in (folder / "fd").iterdir()}
    assert ["/dev/null", "/dev/null", 4] == [targets["1"], targets["2"], len(targets)]
    assert ["pipe", "pipe"] == [targets[name].split(":")[0] for name in ("0", "3")]
    assert "NoNewPrivs:\t1" in (folder / "status").read_text()
    bounds = {line[:26].strip(): line[26:46].strip() for line in (folder / "limits").read_text().splitlines()}
    assert ["0", "0", "32"] == [bounds[f"Max {what}"] for what in ("file size", "core file size", "open files")]
    assert 64_000_000 < int(bounds["Max address space"]) < 1_500_000_000
    decode.close()


def test_a_child_does_not_outlive_a_killed_parent() -> None:
    program = """
import os, signal
from bioseg.decoding.confined import Confined
Confined(1).start()
os.kill(os.getpid(), signal.SIGKILL)
"""
    before = {child.pid for child in psutil.process_iter() if "bioseg.decoding.child" in " ".join(cmdline(child))}
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = {child.pid for child in psutil.process_iter() if "bioseg.decoding.child" in " ".join(cmdline(child))}
        if left <= before:
            break
        time.sleep(0.05)

    assert -signal.SIGKILL == ended.returncode
    assert left <= before


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_child_that_cannot_start_is_our_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(ProcessFailed, match="exit status 1 as it started"):
        Confined(1)(GOOD["png"], LIMITS)


def test_what_a_child_spends_counts_for_the_thread_that_asked(confined: Confined) -> None:
    before = helped.cpu_seconds()
    confined(images.encode_png(np.zeros((900, 900, 3), np.uint8)), LIMITS)

    assert 0.001 < helped.cpu_seconds() - before < 5


def test_the_web_process_imports_no_image_library_and_the_child_nothing_of_the_web() -> None:
    program = "import sys, json, {}; print(json.dumps(sorted(name.split('.')[0] for name in sys.modules)))"

    def loaded(module: str) -> set[str]:
        run = subprocess.run([sys.executable, "-c", program.format(module)], check=True, capture_output=True)
        return set(json.loads(run.stdout))

    assert set() == loaded("application") & {"PIL", "tifffile"}
    assert set() == loaded("bioseg.decoding.child") & {"sqlalchemy", "pydantic", "openvino", "flask", "psutil"}


@given(st.binary(max_size=60))
def test_an_answer_of_random_bytes_is_none(data: bytes) -> None:
    with pytest.raises((EOFError, LookupError, TypeError, ValueError)):
        wire.receive(io.BytesIO(data), LIMITS)


@pytest.mark.parametrize(
    "description",
    [
        {"shape": [2, 1_000_000], "dtype": "uint8"},
        {"shape": [-1, -1], "dtype": "uint8"},
        {"shape": [2, 2, 4], "dtype": "uint8"},
        {"shape": [2, 2], "dtype": "float64"},
        {"shape": [2], "dtype": "uint8"},
        {"shape": "ab", "dtype": "uint8"},
        {"error": "SystemExit", "message": ""},
        {"error": "UnreadableImage"},
        [],
        7,
    ],
)
def test_an_answer_beyond_what_may_be_is_none(description: object) -> None:
    text = json.dumps(description).encode()

    with pytest.raises((EOFError, LookupError, TypeError, ValueError)):
        wire.receive(io.BytesIO(wire.ANSWER.pack(0, len(text)) + text + bytes(10_000)), LIMITS)

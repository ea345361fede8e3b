"""The command line, run in this process on tiny models."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from bioseg import images
from bioseg.cli import main
from bioseg.gate import latency, memory
from bioseg.testing import twins


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def failure(self) -> str:
        """The one line that a failure leaves on the standard error."""
        assert (1, "", 1) == (self.code, self.out, self.err.count("\n")), self
        return self.err


Bioseg = Callable[..., Outcome]


@pytest.fixture
def bioseg(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tiny_models: Path,
    free_port: int,
) -> Iterator[Bioseg]:
    """Runs a command in this process on the tiny models, without any other setting of the environment."""
    for name in os.environ:
        if name.startswith("BIOSEG_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("BIOSEG_MODELS_DIR", str(tiny_models))
    monkeypatch.setenv("BIOSEG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BIOSEG_MLFLOW_PORT", str(free_port))
    monkeypatch.setenv("BIOSEG_THREADS", "1")

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["bioseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def section(tmp_path: Path) -> Path:
    """A drawn EM section, 96 x 80 pixels."""
    return write(tmp_path / "section.png", twins.membrane_section(7, 96)[0][:80])


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A colourful picture, which the screen rejects."""
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    return write(tmp_path / "photo.png", np.kron(colours, np.ones((32, 32, 1), np.uint8)))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bioseg: Bioseg) -> Path:
    """A data directory with the twin of ISBI 2012."""
    folder = tmp_path / "data"
    twins.isbi2012(folder)
    monkeypatch.setenv("BIOSEG_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure time and memory no more often than a figure takes: where the quality decides they need not be sharp."""
    monkeypatch.setattr(latency, "SECONDS", 0)
    monkeypatch.setattr(latency, "PAIRS", 6)
    monkeypatch.setattr(memory, "PAIRS", 2)


def write(file: Path, pixels: NDArray[np.uint8]) -> Path:
    file.write_bytes(images.encode_png(np.ascontiguousarray(pixels)))
    return file

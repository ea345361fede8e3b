"""What a process and a version under trial say to each other over two pipes, without pickle.

A request is `SHAPE` (the four sides of a batch) and the batch. An answer is `ANSWER` (CPU seconds and peak memory of
the child, number of axes, length of an error), then the error as text, or the sides and the output.
"""

import math
import struct
from typing import IO, Final, NamedTuple

import numpy as np

from bioseg.children import exactly
from bioseg.inference import Floats

SHAPE: Final = struct.Struct("<QQQQ")
ANSWER: Final = struct.Struct("<ddII")
SIDE: Final = struct.Struct("<Q")
LONGEST_ERROR: Final = 500
MOST_VALUES: Final = 2**28
"""Values of an output that are taken at most: 1 GiB."""


class Result(NamedTuple):
    """What became of a batch: the output, or an error in words, and what it cost."""

    output: Floats
    error: str
    cpu_seconds: float
    peak_memory_mb: float


def ask(requests: IO[bytes], batch: Floats) -> None:
    """Send a batch (N, H, W, C)."""
    requests.write(SHAPE.pack(*batch.shape))
    requests.write(np.ascontiguousarray(batch, np.float32).data)
    requests.flush()


def asked(requests: IO[bytes]) -> Floats | None:
    """Read a batch; None when there is none any more."""
    header = requests.read(SHAPE.size)
    if len(header) < SHAPE.size:
        return None
    return _array(requests, SHAPE.unpack(header))


def answer(answers: IO[bytes], result: Result) -> None:
    """Send what became of a batch."""
    text = result.error.encode()[:LONGEST_ERROR]
    axes = result.output.shape
    answers.write(ANSWER.pack(result.cpu_seconds, result.peak_memory_mb, len(axes), len(text)) + text)
    if not text:
        answers.write(b"".join(SIDE.pack(side) for side in axes))
        answers.write(np.ascontiguousarray(result.output).data)
    answers.flush()


def receive(answers: IO[bytes]) -> Result:
    """Read what became of a batch.

    Raises
    ------
    EOFError, ValueError
        The answer ends early or is none; the child must not be asked again.
    """
    cpu_seconds, peak, axes, length = ANSWER.unpack(exactly(answers, ANSWER.size))
    if length > LONGEST_ERROR or axes > len("NHWC"):
        raise ValueError(f"an answer of {axes} axes and an error of {length} bytes")
    if length:
        error = exactly(answers, length).decode(errors="replace")
        return Result(np.empty(0, np.float32), error, cpu_seconds, peak)
    sides = [SIDE.unpack(exactly(answers, SIDE.size))[0] for _ in range(axes)]
    return Result(_array(answers, sides), "", cpu_seconds, peak)


def _array(stream: IO[bytes], sides: "list[int] | tuple[int, ...]") -> Floats:
    if math.prod(sides) > MOST_VALUES:
        raise ValueError(f"an array of the shape {tuple(sides)}")
    array = np.empty(sides, np.float32)
    if array.nbytes and stream.readinto(array.data.cast("B")) != array.nbytes:  # type: ignore[attr-defined]
        raise EOFError
    return array

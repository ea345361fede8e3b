"""What a process and its confined child say to each other over two pipes, without pickle.

A request is `REQUEST` (length of the file, `max_bytes`, `max_pixels`) and the file. An answer is `ANSWER` (CPU seconds
of the child, length), as many bytes of JSON, either `{"shape", "dtype"}` or `{"error", "message"}`, and after a shape
the samples.
"""

import json
import math
import struct
from typing import IO, Final

import numpy as np

from bioseg.children import exactly
from bioseg.errors import ImageError, ImageTooLarge, StackNotAllowed, UnreadableImage, UnsupportedFormat
from bioseg.images import Image, Limits

OUT_OF_MEMORY: Final = 3
"""Exit status of a child whose file took more memory than is allowed."""
REQUEST: Final = struct.Struct("<QQQ")
ANSWER: Final = struct.Struct("<dI")
LONGEST_TEXT: Final = 65_536
_ERRORS: Final = {kind.__name__: kind for kind in (ImageTooLarge, StackNotAllowed, UnreadableImage, UnsupportedFormat)}
_DTYPES: Final = {"uint8": np.uint8, "uint16": np.uint16}


def ask(requests: IO[bytes], data: bytes, limits: Limits) -> None:
    """Send a file."""
    requests.write(REQUEST.pack(len(data), limits.max_bytes, limits.max_pixels))
    requests.write(data)
    requests.flush()


def answer(answers: IO[bytes], result: Image | ImageError, cpu_seconds: float) -> None:
    """Send what became of it, and what that cost."""
    description: dict[str, object]
    if isinstance(result, ImageError):
        description, samples = {"error": type(result).__name__, "message": str(result)}, None
    else:
        description, samples = {"shape": result.shape, "dtype": result.dtype.name}, result.data
    text = json.dumps(description).encode()
    answers.write(ANSWER.pack(cpu_seconds, len(text)) + text)
    if samples is not None:
        answers.write(samples)
    answers.flush()


def receive(answers: IO[bytes], limits: Limits) -> tuple[Image | ImageError, float]:
    """Read what became of it, and the CPU seconds; nothing is allocated beyond the limits, whatever the child says.

    Raises
    ------
    EOFError, LookupError, TypeError, ValueError
        The answer ends early or is none; the child must not be asked again.
    """
    cpu_seconds, length = ANSWER.unpack(exactly(answers, ANSWER.size))
    if length > LONGEST_TEXT:
        raise ValueError(f"an answer of {length} bytes")
    description = json.loads(exactly(answers, length))
    if "error" in description:
        return _ERRORS[description["error"]](description["message"]), cpu_seconds
    height, width, *channels = shape = description["shape"]
    if channels not in ([], [3]) or not 0 < height * width <= limits.max_pixels:
        raise ValueError(f"an answer of the shape {shape}")
    image: Image = np.empty(math.prod(shape), _DTYPES[description["dtype"]]).reshape(shape)
    if answers.readinto(image.data.cast("B")) != image.nbytes:  # type: ignore[attr-defined]
        raise EOFError
    return image, cpu_seconds

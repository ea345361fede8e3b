"""The header of a safetensors file, read without the library: every tensor lies in the file, side by side.

Format: https://github.com/huggingface/safetensors#format.
"""

import math
from pathlib import Path
from typing import Any

from bioseg.bundles.json_text import parse, shown
from bioseg.errors import BundleError

LENGTH = 8
LARGEST = 2**22
"""Bytes of the header."""
SIZES = {"F16": 2, "F32": 4, "I64": 8}
"""Types of tensors that exported networks hold, with their bytes."""
METADATA = "__metadata__"


def check(file: Path) -> None:
    """Check that the header describes the file, byte by byte.

    Raises
    ------
    BundleError
        When the header is too long or malformed, or its tensors leave gaps, overlap or end beyond the file.
    """
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        length = int.from_bytes(stream.read(LENGTH), "little")
        if length > min(LARGEST, size - LENGTH):
            raise BundleError(f"{file} announces a header of {length} bytes; export the bundle again")
        header = parse(stream.read(length), file)
    if not isinstance(header, dict):
        raise BundleError(f"{file} begins with no header; export the bundle again")
    end = 0
    for first, last in sorted(_span(file, name, tensor) for name, tensor in header.items() if name != METADATA):
        if first != end:
            raise BundleError(f"{file}: its tensors overlap or leave a gap at byte {end}; export the bundle again")
        end = last
    if end != size - LENGTH - length:
        raise BundleError(f"{file}: its tensors end at byte {end} of {size - LENGTH - length}; export the bundle again")


def _span(file: Path, name: str, tensor: Any) -> tuple[int, int]:
    match tensor:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(first), int(last)]}:
            counts = all(type(side) is int and side >= 0 for side in shape)
            if dtype in SIZES and counts and 0 <= first <= last and last - first == math.prod(shape) * SIZES[dtype]:
                return first, last
    allowed = ", ".join(SIZES)
    raise BundleError(f"{file}: {shown(name)} is no tensor of type {allowed} that fills its place; export it again")

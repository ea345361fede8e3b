"""The sample of a bundle before it is loaded: two arrays of float32 that are as large as they say."""

import io
import math
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from bioseg.bundles import zip_members
from bioseg.bundles.json_text import shown
from bioseg.errors import BundleError

LARGEST = {"input.npy": 2**25, "output.npy": 2**25}
"""Members, with the bytes that each may inflate to."""
HEADER = 2**10


def check(file: Path) -> None:
    """Check names, types and shapes.

    Raises
    ------
    BundleError
        When an array holds anything but float32, or declares another size than it has.
    """
    with zip_members.open_archive(file, LARGEST) as archive:
        for name in LARGEST:
            _check_array(zip_members.content(archive, name), f"{file} ({name})")


def _check_array(content: bytes, source: str) -> None:
    stream = io.BytesIO(content)
    try:
        version = npy.read_magic(stream)
        shape, _, dtype = npy.read_array_header_1_0(stream, max_header_size=HEADER)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{source} is malformed: {shown(error)}; export the bundle again") from error
    declared = math.prod(shape) * dtype.itemsize
    if (
        version != (1, 0)
        or dtype != np.float32
        or min(shape, default=0) < 1
        or declared != len(content) - stream.tell()
    ):
        raise BundleError(f"{source} is no array of float32 that fills its file; export the bundle again")

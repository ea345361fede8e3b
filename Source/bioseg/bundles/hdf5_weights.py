"""Weights in HDF5: nothing in them may lead to another file, or to more memory than the limit.

HDF5 knows links into other files, arrays stored in other files and arrays made of pieces of other files, all of which
its library follows silently. h5py is installed with Keras.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import h5py

from bioseg.bundles import keras_archive, zip_members
from bioseg.bundles.json_text import shown
from bioseg.errors import BundleError

OBJECTS = 2_000
"""Groups and arrays; a network of a hundred layers has some six hundred. It also ends groups within themselves."""
NUMBERS = "fiub"
FILTERS = frozenset({h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32})


def check(file: Path) -> None:
    """Check the weights within a `.keras` file; they are inflated in memory.

    Raises
    ------
    BundleError
        When they are no HDF5, or hold anything but groups and arrays of numbers of their own.
    """
    source = f"{file} ({keras_archive.WEIGHTS})"
    with zip_members.open_archive(file, keras_archive.LARGEST) as archive:
        content = zip_members.content(archive, keras_archive.WEIGHTS)
    try:
        with h5py.File(io.BytesIO(content), "r") as root:
            left = keras_archive.LARGEST[keras_archive.WEIGHTS]
            for dataset in _datasets(root, source):
                left -= _size(dataset, source)
                if left < 0:
                    raise BundleError(f"{source} declares too large arrays; export the bundle again")
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise BundleError(f"{source} cannot be read: {shown(error)}; export the bundle again") from error


def _datasets(root: h5py.Group, source: str) -> Iterator[h5py.Dataset]:
    waiting = [root]
    objects = 0
    while waiting:
        group = waiting.pop()
        for name in group:
            objects += 1
            item = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
            if objects > OBJECTS or not isinstance(item, h5py.Group | h5py.Dataset):
                raise BundleError(f"{source}: {shown(name)} is a link or no array; export the bundle again")
            if isinstance(item, h5py.Group):
                waiting.append(item)
            else:
                yield item


def _size(dataset: h5py.Dataset, source: str) -> int:
    """Bytes that reading the array takes."""
    stored = dataset.id.get_create_plist()
    filters = {stored.get_filter(number)[0] for number in range(stored.get_nfilters())}
    if dataset.is_virtual or dataset.external is not None or dataset.dtype.kind not in NUMBERS or filters - FILTERS:
        raise BundleError(f"{source}: {shown(dataset.name)} is not stored as plain numbers; export the bundle again")
    return int(dataset.nbytes)

"""What a bundle from a stranger may hold: known files, plain and bounded, that lead nowhere and run nothing.

No framework is needed, and none has seen a file before it passed. `hdf5_weights` follows where Keras loads.
"""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from bioseg.bundles import keras_archive, onnx_wire, safetensors_header, sample_arrays
from bioseg.bundles.json_text import shown
from bioseg.errors import BundleError

MANIFEST = "bundle.json"
SAMPLE = "sample.npz"
CARD = "CARD.md"
ONNX = "model.onnx"
WEIGHTS = {"keras": "model.keras", "torch": "model.safetensors"}

LARGEST = {
    MANIFEST: 2**20,
    CARD: 2**20,
    SAMPLE: 2**26,
    ONNX: 2**28,
    **dict.fromkeys(WEIGHTS.values(), 2**28),
}
"""Every file that a bundle may hold, with its largest size in bytes."""
CHECKS: dict[str, Callable[[Path], None]] = {
    ONNX: lambda file: onnx_wire.check(file, WEIGHTS["torch"]),
    SAMPLE: sample_arrays.check,
    WEIGHTS["keras"]: keras_archive.check,
    WEIGHTS["torch"]: safetensors_header.check,
}


def files(folder: Path) -> set[str]:
    """Names of everything in a folder, when the files that a bundle may hold are plain ones; nothing is opened.

    Raises
    ------
    BundleError
        When the folder cannot be listed, or such a file is a link, folder or device, or too large.
    """
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    except OSError as error:
        raise BundleError(f"{folder} is no bundle: {error.strerror}; name the folder that holds {MANIFEST}") from error
    for name in found.keys() & LARGEST.keys():
        if not stat.S_ISREG(found[name].st_mode):
            raise BundleError(f"{folder / name} is no plain file; export the bundle again")
        if found[name].st_size > LARGEST[name]:
            raise BundleError(f"{folder / name} is larger than {LARGEST[name]} bytes; export the bundle again")
    return set(found)


def require_known(folder: Path, names: Iterable[str]) -> None:
    """Refuse what has no place in a bundle.

    Raises
    ------
    BundleError
        Naming the first such file, and those that a bundle may hold.
    """
    for name in sorted(set(names) - LARGEST.keys()):
        raise BundleError(f"{folder} holds {shown(name)}; a bundle holds only {', '.join(LARGEST)}: remove it")


def check(file: Path) -> None:
    """Check the content of a file of a bundle, by its name.

    Raises
    ------
    BundleError
        When it could make its reader run code, open another file, or take more memory than it shows.
    """
    if file.name in CHECKS:
        CHECKS[file.name](file)

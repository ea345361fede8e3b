"""Forged `.keras` files, as `evil_bundles` forges the rest; made without Keras, so nothing of them runs by accident."""

import base64
import io
import json
import marshal
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bioseg.bundles import WEIGHTS
from bioseg.testing.evil_bundles import PRIVATE, TRACE, Forge, pickled

KERAS = WEIGHTS["keras"]
CONFIG = "config.json"
HDF5 = "model.weights.h5"
LINK = (stat.S_IFLNK | 0o777) << 16

Config = dict[str, Any]


def _members(folder: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(folder / KERAS) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pack(folder: Path, members: dict[str, bytes], *more: tuple[zipfile.ZipInfo | str, bytes]) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(folder / KERAS, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of doubled names
        for name, content in (*members.items(), *more):
            archive.writestr(name, content)


def _config(edit: Callable[[Config, Path], object]) -> Forge:
    def forge(folder: Path, outside: Path) -> None:
        members = _members(folder)
        config = json.loads(members[CONFIG])
        edit(config, outside)
        _pack(folder, members | {CONFIG: json.dumps(config).encode()})

    return forge


def _layer(module: str | None, name: Any, registered: str | None = None, **config: Any) -> Forge:
    """Add a layer behind the input of the network."""
    return _config(lambda network, _: _append(network, module, name, registered, config))


def _append(network: Config, module: str | None, name: Any, registered: str | None, config: Config) -> None:
    image = {
        "class_name": "__keras_tensor__",
        "config": network["config"]["layers"][1]["inbound_nodes"][0]["args"][0]["config"],
    }
    network["config"]["layers"].append(
        {
            "module": module,
            "class_name": name,
            "config": {"name": "added", **config},
            "registered_name": registered,
            "name": "added",
            "inbound_nodes": [{"args": [image], "kwargs": {}}],
        }
    )


def _lambda(network: Config, outside: Path) -> None:
    """Add a layer whose code leaves the trace."""
    text = f"lambda x: (__import__('pathlib').Path({str(outside / TRACE)!r}).touch(), x)[1]"
    code = next(part for part in compile(text, "lambda", "eval").co_consts if hasattr(part, "co_code"))
    function = {
        "class_name": "__lambda__",
        "config": {"code": base64.b64encode(marshal.dumps(code)).decode(), "defaults": None, "closure": None},
    }
    _append(network, "keras.layers", "Lambda", None, {"function": function})


def _first_convolution(change: Callable[[Path], Config]) -> Forge:
    return _config(lambda network, outside: network["config"]["layers"][1]["config"].update(change(outside)))


def _text(change: Callable[[bytes], bytes]) -> Forge:
    """Alter the text of the configuration."""

    def forge(folder: Path, _: Path) -> None:
        members = _members(folder)
        _pack(folder, members | {CONFIG: change(members[CONFIG])})

    return forge


def _object(module: str | None, name: str, config: Any) -> Config:
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


LAMBDA = _config(_lambda)
CONFIGS: dict[str, Forge] = {
    "lambda": LAMBDA,
    "saved model of TensorFlow": _layer("keras.layers", "TFSMLayer", filepath="../outside"),
    "custom layer": _layer("evil", "Payload", "evil>Payload"),
    "custom layer by the name of a known one": _layer("keras.layers", "ReLU", "evil>ReLU"),
    "known layer of another module": _layer("evil", "ReLU"),
    "layer without module": _layer(None, "ReLU"),
    "layer of torch": _layer("keras.layers", "TorchModuleWrapper", module_=pickled(Path("x")).hex()),
    "layer that reads a file": _layer("keras.layers", "StringLookup", vocabulary=f"../outside/{PRIVATE}"),
    "layer named by a list": _layer("keras.layers", ["ReLU"]),
    "function of the system": _layer("os", "function", "function", name_="system"),
    "function of Keras": _first_convolution(
        lambda _: {"activation": {"module": "keras.utils", "class_name": "function", "config": "get_file"}}
    ),
    "lambda as activation": _first_convolution(lambda _: {"activation": _object(None, "__lambda__", {})}),
    "initializer of a stranger": _first_convolution(
        lambda _: {"kernel_initializer": _object("builtins", "exec", {"source": "1"})}
    ),
    "array within the configuration": _first_convolution(
        lambda _: {"kernel_initializer": _object(None, "__numpy__", {"value": [1], "dtype": "object"})}
    ),
    "optimizer": _config(lambda network, _: network.update(compile_config={"optimizer": "evil"})),
    "network that is no graph": _config(lambda network, _: network.update(class_name="Sequential")),
    "list for a configuration": _text(lambda text: b"[" + text + b"]"),
    "class named twice": _text(lambda text: b'{"class_name": "Lambda", ' + text[1:]),
    "deep configuration": _text(lambda text: b"[" * 100_000 + text),
    "configuration that is no JSON": _text(lambda text: b"\xff" + text),
    "inflating configuration": _text(lambda text: text + b" " * 2**22),
}
"""Forged configurations."""


def _more(name: zipfile.ZipInfo | str, content: bytes = b"") -> Forge:
    return lambda folder, _: _pack(folder, _members(folder), (name, content))


def _linked(folder: Path, outside: Path) -> None:
    """Make the weights a link to the private file."""
    link = zipfile.ZipInfo(HDF5)
    link.external_attr = LINK
    members = _members(folder)
    del members[HDF5]
    _pack(folder, members, (link, str(outside / PRIVATE).encode()))


def _encrypted(folder: Path, _: Path) -> None:
    content = bytearray((folder / KERAS).read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (folder / KERAS).write_bytes(content)


def _declared_size(folder: Path, _: Path) -> None:
    """Let the directory declare weights of almost 4 GiB."""
    content = bytearray((folder / KERAS).read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = b"\xfe\xff\xff\xff"
    (folder / KERAS).write_bytes(content)


def _crowded(folder: Path, _: Path) -> None:
    _pack(folder, _members(folder), *((f"{number}.txt", b"") for number in range(1000)))


def _append_bytes(text: bytes) -> Forge:
    def forge(folder: Path, _: Path) -> None:
        (folder / KERAS).write_bytes((folder / KERAS).read_bytes() + text)

    return forge


def _content(make: Callable[[Path], bytes]) -> Forge:
    def forge(folder: Path, outside: Path) -> None:
        (folder / KERAS).write_bytes(make(outside))

    return forge


def _hdf5_alone(folder: Path, _: Path) -> None:
    (folder / KERAS).write_bytes(_members(folder)[HDF5])


ARCHIVES: dict[str, Forge] = {
    "member above the folder": _more("../../trace", b"x"),
    "absolute member": _more("/tmp/trace", b"x"),  # noqa: S108 - a name within an archive
    "additional member": _more("assets/vocabulary.txt", b"x"),
    "weights twice": _more(HDF5, b"x"),
    "weights as arrays": lambda folder, _: _pack(
        folder, {name.replace(".h5", ".npz"): content for name, content in _members(folder).items()}
    ),
    "linked weights": _linked,
    "encrypted member": _encrypted,
    "declared size of 4 GiB": _declared_size,
    "a thousand members": _crowded,
    "text behind the end": _append_bytes(b"x"),
    "pickle for a network": _content(pickled),
    "HDF5 for a network": _hdf5_alone,
    "empty network": _content(lambda _: b""),
}
"""Forged archives."""


def _weights(edit: Callable[[h5py.Group, Path], object]) -> Forge:
    """Replace the first weights, `layers/conv2d/vars/0`."""

    def forge(folder: Path, outside: Path) -> None:
        members = _members(folder)
        stream = io.BytesIO(members[HDF5])
        with h5py.File(stream, "r+") as file:
            variables = file["layers/conv2d/vars"]
            del variables["0"]
            edit(variables, outside)
        _pack(folder, members | {HDF5: stream.getvalue()})

    return forge


def _virtual(variables: h5py.Group, outside: Path) -> None:
    layout = h5py.VirtualLayout((4,), np.float32)
    layout[:] = h5py.VirtualSource(outside / "private.h5", "private", (4,))
    variables.create_virtual_dataset("0", layout)


def _external(variables: h5py.Group, outside: Path) -> None:
    variables.create_dataset("0", (4,), np.float32, external=[(str(outside / PRIVATE), 0, 16)])


HDF5S: dict[str, Forge] = {
    "link into another file": _weights(
        lambda variables, outside: variables.update({"0": h5py.ExternalLink(outside / "private.h5", "private")})
    ),
    "link within the file": _weights(lambda variables, _: variables.update({"0": h5py.SoftLink("/layers")})),
    "array stored in another file": _weights(_external),
    "array of pieces of another file": _weights(_virtual),
    "array of 10^12 numbers": _weights(
        lambda variables, _: variables.create_dataset("0", (10**6, 10**6), np.float32, chunks=(1, 1))
    ),
    "array of texts": _weights(lambda variables, _: variables.create_dataset("0", data=["evil"])),
    "type for an array": _weights(lambda variables, _: variables.update({"0": np.dtype("f4")})),
    "group within itself": _weights(lambda variables, _: variables.update({"0": variables})),
    "text for weights": lambda folder, _: _pack(folder, _members(folder) | {HDF5: b"evil"}),
}
"""Forged weights of Keras networks, which only h5py can tell."""

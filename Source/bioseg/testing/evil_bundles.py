"""Bundles as a stranger might forge them: honest ones, each with one promise broken and its hashes made right again.

What a payload would leave behind, or would read, lies in a folder outside of the bundle: `TRACE` appears when code ran,
`PRIVATE` is to be left alone.
"""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from bioseg.bundles import CARD, MANIFEST, ONNX, SAMPLE, WEIGHTS, sha256_of

SAFETENSORS = WEIGHTS["torch"]
TRACE = "trace"
PRIVATE = "private.bin"

Forge = Callable[[Path, Path], None]
"""Alters the bundle in the first folder; the second one is the folder outside."""


@dataclass(frozen=True, slots=True)
class Touch:
    """Creates a file when it is unpickled, and does nothing else."""

    file: Path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        """Say how to rebuild the object: by touching the file."""
        return Path.touch, (self.file,)


def pickled(outside: Path) -> bytes:
    """Bytes that leave the trace when they are unpickled."""
    return pickle.dumps(Touch(outside / TRACE))


def rehash(folder: Path) -> None:
    """Write the hashes of all plain files into the manifest."""

    def rewrite(manifest: dict[str, Any]) -> None:
        files = (file for file in folder.iterdir() if file.is_file() and file.name != MANIFEST)
        manifest["files"] = {file.name: sha256_of(file) for file in files}

    _edit_manifest(rewrite)(folder, folder)


def _edit_manifest(edit: Callable[[dict[str, Any]], object]) -> Forge:
    def forge(folder: Path, _: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        edit(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return forge


def _rename(manifest: dict[str, Any], name: str) -> None:
    manifest["files"][name] = manifest["files"].pop(CARD)


def _insert(text: bytes) -> Forge:
    """Put text behind the opening brace of the manifest."""

    def forge(folder: Path, _: Path) -> None:
        manifest = (folder / MANIFEST).read_bytes()
        (folder / MANIFEST).write_bytes(b"{" + text + b"," + manifest.strip()[1:])

    return forge


MANIFESTS: dict[str, Forge] = {
    "wrong hash": _edit_manifest(lambda manifest: manifest["files"].update({CARD: "0" * 64})),
    "file that is not there": _edit_manifest(lambda manifest: manifest["files"].update({"other.onnx": "0" * 64})),
    "file that is not listed": _edit_manifest(lambda manifest: manifest["files"].pop(CARD)),
    "name above the folder": _edit_manifest(lambda manifest: _rename(manifest, f"../{CARD}")),
    "absolute name": _edit_manifest(lambda manifest: _rename(manifest, "/etc/passwd")),
    "name in a folder": _edit_manifest(lambda manifest: _rename(manifest, f"./{CARD}")),
    "tolerance NaN": _edit_manifest(lambda manifest: manifest["contract"].update(tolerance=float("nan"))),
    "infinite figure": _insert(b'"metrics": {"dice": 1e999}'),
    "tolerance of anything": _edit_manifest(lambda manifest: manifest["contract"].update(tolerance=1e9)),
    "negative halo": _edit_manifest(lambda manifest: manifest["contract"].update(halo=-96)),
    "huge side": _edit_manifest(lambda manifest: manifest["contract"].update(side=10**9)),
    "no class": _edit_manifest(lambda manifest: manifest["contract"].update(classes=[])),
    "no contract": _edit_manifest(lambda manifest: manifest.pop("contract")),
    "terminal codes": _edit_manifest(lambda manifest: manifest.update({"\x1b[2J\n" * 999: 1})),
    "same name twice": _insert(b'"files": {}'),
    "deep nesting": _insert(b'"metrics": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "huge manifest": _insert(b'"provenance": "' + b" " * 2**20 + b'"'),
    "not UTF-8": _insert(b'"\xff": 1'),
}
"""Forged manifests."""


def _add(name: str) -> Forge:
    return lambda folder, outside: _write(folder / name, pickled(outside))


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def _link(name: str) -> Forge:
    """Move a file out of the bundle and leave a symbolic link."""

    def forge(folder: Path, outside: Path) -> None:
        (folder / name).rename(outside / name)
        (folder / name).symlink_to(outside / name)

    return forge


def _replace(name: str, make: Callable[[Path], None]) -> Forge:
    def forge(folder: Path, _: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return forge


STRANGERS = ("model.h5", "weights.pkl", "model.pt", "model.bin", "model.xml", ".env")
FILES: dict[str, Forge] = {
    **{
        f"added {name}": _add(name)
        for name in ("model.h5", "weights.pkl", "model.pt", "model.bin", "model.xml", ".env")
    },
    "name with a line break": _add("\x1b[2J\nmodel.onnx"),
    "folder": lambda folder, _: (folder / "assets").mkdir(),
    **{f"link {name}": _link(name) for name in (MANIFEST, CARD, SAMPLE, ONNX)},
    "pipe for a card": _replace(CARD, os.mkfifo),
    "pipe for a graph": _replace(ONNX, os.mkfifo),
    "pipe for a manifest": _replace(MANIFEST, os.mkfifo),
    "folder for a graph": _replace(ONNX, Path.mkdir),
    "huge card": lambda folder, _: os.truncate(folder / CARD, 2**20 + 1),
    "huge graph": lambda folder, _: os.truncate(folder / ONNX, 2**28 + 1),
}
"""Forged folders."""


def _sample(**arrays: bytes) -> Forge:
    def forge(folder: Path, _: Path) -> None:
        with zipfile.ZipFile(folder / SAMPLE, "w") as archive:
            for name, content in arrays.items():
                archive.writestr(f"{name}.npy", content)

    return forge


def _array(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def _declared(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """An array that declares a shape and holds eight bytes."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + bytes(8)


def _pickled_sample(folder: Path, outside: Path) -> None:
    touch = np.empty(1, object)
    touch[0] = Touch(outside / TRACE)
    np.savez(folder / SAMPLE, input=touch, output=touch)


ONE = _array(np.zeros((1, 1), np.float32))
SAMPLES: dict[str, Forge] = {
    "pickled array": _pickled_sample,
    "pickle for a sample": lambda folder, outside: _write(folder / SAMPLE, pickled(outside)),
    "pickle for an array": lambda folder, outside: _sample(input=pickled(outside), output=ONE)(folder, outside),
    "shape of 10^12 numbers": _sample(input=_declared((10**6, 10**6)), output=ONE),
    "shape beyond 64 bits": _sample(input=_declared((2**32, 2**32)), output=ONE),
    "negative shape": _sample(input=_declared((-1, -2)), output=ONE),
    "empty sample": _sample(input=_declared((0, 10**12)), output=ONE),
    "sample of float64": _sample(input=_array(np.zeros((1, 1))), output=ONE),
    "sample of text": _sample(input=_declared((2,), "<U1"), output=ONE),
    "other arrays": _sample(input=ONE, target=ONE),
    "third array": _sample(input=ONE, output=ONE, more=ONE),
    "array above the folder": _sample(input=ONE, output=ONE, **{"../../more": ONE}),
    "inflating sample": lambda folder, _: np.savez_compressed(
        folder / SAMPLE, input=np.zeros(2**24, np.float32), output=np.zeros(1, np.float32)
    ),
}
"""Forged samples."""


def _graph(edit: Callable[[ModelProto, Path], object]) -> Forge:
    def forge(folder: Path, outside: Path) -> None:
        model = onnx.load(folder / ONNX, load_external_data=False)
        edit(model, outside)
        (folder / ONNX).write_bytes(model.SerializeToString())

    return forge


def _external(location: str, offset: int = 0) -> TensorProto:
    tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": offset, "length": 16}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _value_first(model: ModelProto, _: Path) -> None:
    """Write the entry `location` with its key after its value, which a reader that takes them in order misses."""
    place = model.graph.initializer.add(name="far").external_data.add()
    place.MergeFromString(b"\x12\x09../privat\x0a\x08location")
    place.MergeFromString(place.SerializeToString())


def _twice(folder: Path, _: Path) -> None:
    """Two graphs in one file, of which readers may take either, or both together."""
    _write(folder / ONNX, (folder / ONNX).read_bytes() * 2)


def _far(location: str, offset: int = 0) -> Forge:
    return _graph(lambda model, _: model.graph.initializer.append(_external(location, offset)))


def _node(operator: str, **attributes: Any) -> Forge:
    return _graph(lambda model, _: model.graph.node.insert(0, helper.make_node(operator, [], ["far"], **attributes)))


EMPTY_GRAPH = helper.make_graph([], "empty", [], [])
GRAPHS: dict[str, Forge] = {
    "weights above the folder": _far("../outside/private.bin"),
    "weights through a folder": _far(f"x/../../outside/{PRIVATE}"),
    "weights by an absolute path": _graph(
        lambda model, outside: model.graph.initializer.append(_external(str(outside / PRIVATE)))
    ),
    "weights beside, by another name": _far(CARD),
    "weights in memory": _far("*/_ORT_MEM_ADDR_/*", 0x400000),
    "weights after their key": _graph(_value_first),
    "weights of a constant": _node("Constant", value=_external(f"../outside/{PRIVATE}")),
    "operator of a stranger": _node("Run", domain="evil"),
    "operators of a stranger": _graph(lambda model, _: model.opset_import.add(domain="evil", version=1)),
    "subgraph": _node("Loop", body=EMPTY_GRAPH),
    "function": _graph(lambda model, _: model.functions.add(name="f", domain="")),
    "training graph": _graph(lambda model, _: model.training_info.add()),
    "two graphs": _twice,
    "OpenVINO's own format": lambda folder, _: _write(
        folder / ONNX, b'<?xml version="1.0"?><net name="a" version="11"><layers/><edges/></net>'
    ),
    "pickle for a graph": lambda folder, outside: _write(folder / ONNX, pickled(outside)),
    "text for a graph": lambda folder, _: _write(folder / ONNX, b"ir_version: 8"),
    "cut graph": lambda folder, _: _write(folder / ONNX, (folder / ONNX).read_bytes()[:-1]),
    "no graph": lambda folder, _: _write(folder / ONNX, b""),
}
"""Forged graphs."""


def _safetensors(header: Any, data: bytes = bytes(8), length: int | None = None) -> Forge:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    content = (len(text) if length is None else length).to_bytes(8, "little") + text + data
    return lambda folder, _: _write(folder / SAFETENSORS, content)


def _tensor(first: int, last: int, shape: list[Any] | None = None, dtype: str = "F32") -> dict[str, Any]:
    count = (last - first) // 4
    return {"dtype": dtype, "shape": [count] if shape is None else shape, "data_offsets": [first, last]}


TENSORS: dict[str, Forge] = {
    "huge header": _safetensors({}, length=2**63),
    "header beyond the file": _safetensors({}, length=11),
    "long header": _safetensors(b'{"a": "' + b" " * 2**22 + b'"}'),
    "overlapping tensors": _safetensors({"a": _tensor(0, 8), "b": _tensor(4, 8)}),
    "gap between tensors": _safetensors({"a": _tensor(4, 8)}),
    "tensors end early": _safetensors({"a": _tensor(0, 4)}),
    "tensor beyond the file": _safetensors({"a": _tensor(0, 16)}),
    "tensor before the file": _safetensors({"a": _tensor(-8, 0), "b": _tensor(0, 8)}),
    "tensor backwards": _safetensors({"a": _tensor(0, 8), "b": _tensor(8, 4, [-1])}),
    "shape larger than the tensor": _safetensors({"a": _tensor(0, 8, [10**12])}),
    "negative sides": _safetensors({"a": _tensor(0, 8, [-1, -2])}),
    "shape of fractions": _safetensors({"a": _tensor(0, 8, [2.0])}),
    "unknown type": _safetensors({"a": _tensor(0, 8, [1], "OBJECT")}),
    "no tensor": _safetensors({"a": [0, 8]}),
    "tensor twice": _safetensors(b'{"a": 1, "a": 2}'),
    "list for a header": _safetensors([]),
    "deep header": _safetensors(b"[" * 100_000),
    "header that is no text": _safetensors(b"\xff\xfe"),
    "pickle for tensors": lambda folder, outside: _write(folder / SAFETENSORS, pickled(outside)),
    "empty file": lambda folder, _: _write(folder / SAFETENSORS, b""),
}
"""Forged weights of torch networks."""

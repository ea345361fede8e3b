"""What a graph refers to, read from its bytes: nothing but itself and the weights beside it.

What serves has no onnx package, so this walks the protocol buffer: https://protobuf.dev/programming-guides/encoding and
the field numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Only fields that exported graphs use are
known. Everything else is refused: files of other formats, which OpenVINO recognises whatever their name, subgraphs,
functions, training graphs and operators of a vendor's own.
"""

from collections.abc import Iterator
from pathlib import Path

from bioseg.bundles.json_text import shown
from bioseg.errors import BundleError

FIELDS = 1_000_000
"""Fields of one graph; a network has thousands."""
DOMAINS = (b"", b"ai.onnx")
"""Operator sets of the standard."""

PLAIN = "value"
DOMAIN = "domain"
PLACE = "place"
MESSAGES: dict[str, dict[int, str]] = {
    "model": {**dict.fromkeys((1, 2, 3, 4, 5, 6, 14), PLAIN), 7: "graph", 8: "operator set"},
    "operator set": {1: DOMAIN, 2: PLAIN},
    "graph": {**dict.fromkeys((2, 10, 11, 12, 13), PLAIN), 1: "node", 5: "tensor"},
    "node": {**dict.fromkeys((1, 2, 3, 4, 6), PLAIN), 5: "attribute", 7: DOMAIN},
    "attribute": {**dict.fromkeys((1, 2, 3, 4, 7, 8, 9, 13, 20), PLAIN), 5: "tensor", 10: "tensor"},
    "tensor": {**dict.fromkeys((1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14), PLAIN), 13: PLACE},
}
"""Messages by name: what each field number holds, which is another message, or one of the three kinds of value above.

A place is an entry of a tensor's `external_data`."""
FIXED = {1: 8, 5: 4}
"""Bytes of the wire types that have a fixed size."""
VARINT, BYTES = 0, 2
REMEDY = "export the bundle again"

Value = memoryview | None
"""Bytes of a field, None for a number."""


def check(file: Path, weights: str) -> None:
    """Check that a graph is one ONNX model of standard operators, whose weights are its own or in the file beside it.

    Parameters
    ----------
    file
        The graph.
    weights
        Name of the only file, in the same folder, from which it may read weights.

    Raises
    ------
    BundleError
        When the file is no such model, naming what it refers to.
    """
    found = [message for message, _ in _messages(file, weights)]
    if found.count("graph") != 1:
        raise BundleError(f"{file} holds {found.count('graph')} graphs, not one; {REMEDY}")


def _messages(file: Path, weights: str) -> Iterator[tuple[str, memoryview]]:
    """Every message at any depth, its own values checked."""
    waiting = [("model", memoryview(file.read_bytes()))]
    left = FIELDS
    while waiting:
        message, content = waiting.pop()
        yield message, content
        for number, value in _fields(content, file):
            left -= 1
            kind = MESSAGES[message].get(number)
            if kind is None or left < 0:
                raise BundleError(f"{file}: its {message} has a field {number} that exports have not; {REMEDY}")
            if kind != PLAIN and value is None:
                raise _no_model(file)
            if value is not None and kind in MESSAGES:
                waiting.append((kind, value))
            if value is not None and kind == DOMAIN:
                _check_domain(bytes(value), file)
            if value is not None and kind == PLACE:
                _check_place(value, weights, file)


def _check_domain(domain: bytes, file: Path) -> None:
    if domain not in DOMAINS:
        raise BundleError(f"{file} wants operators of {_text(domain)}; use those of the ONNX standard, and {REMEDY}")


def _check_place(entry: memoryview, weights: str, file: Path) -> None:
    fields = [(number, bytes(value or b"")) for number, value in _fields(entry, file)]
    key, text = (dict(fields).get(number, b"") for number in (1, 2))
    if len(fields) != 2 or key not in {b"location", b"offset", b"length"}:
        raise BundleError(f"{file}: the place of a weight is described by {_text(key)}; {REMEDY}")
    if key == b"location" and text != weights.encode():
        raise BundleError(f"{file} reads weights from {_text(text)}, but may from {weights} beside it only; {REMEDY}")


def _fields(content: memoryview, file: Path) -> Iterator[tuple[int, Value]]:
    """Number and bytes of each field of a message."""
    position = 0
    while position < len(content):
        tag, position = _varint(content, position, file)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            _, position = _varint(content, position, file)
            yield number, None
            continue
        length, position = _varint(content, position, file) if wire == BYTES else (FIXED.get(wire), position)
        if length is None or length > len(content) - position:
            raise _no_model(file)
        yield number, content[position : position + length] if wire == BYTES else None
        position += length


def _varint(content: memoryview, position: int, file: Path) -> tuple[int, int]:
    """A number of seven bits a byte, and the position after it."""
    if position < len(content) and content[position] < 0x80:
        return content[position], position + 1
    value = 0
    for place, byte in enumerate(content[position : position + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, position + place + 1
    raise _no_model(file)


def _text(text: bytes) -> str:
    return shown(text.decode("utf-8", "replace"))


def _no_model(file: Path) -> BundleError:
    return BundleError(f"{file} is no ONNX model; {REMEDY}")

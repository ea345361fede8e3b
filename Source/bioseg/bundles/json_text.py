"""JSON from a stranger: one value for every name, finite numbers, and bounded nesting."""

import json
import math
from typing import Any

from bioseg.errors import BundleError

SHOWN = 80
"""Characters of a stranger's text that a message repeats."""


def parse(text: bytes, source: object) -> Any:
    """Read JSON.

    Raises
    ------
    BundleError
        When the text is no JSON, repeats a name within an object, holds a number that is not finite, or nests too
        deeply; the message begins with `source`.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise BundleError(f"{source} nests too deeply; export the bundle again") from error
    except ValueError as error:
        raise BundleError(f"{source} is malformed: {shown(error)}; export the bundle again") from error


def shown(value: object) -> str:
    """A stranger's text as a message may repeat it: one line, printable, short."""
    return ascii(str(value))[1:-1][:SHOWN]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return unique


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return value

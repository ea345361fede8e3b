"""What a `.keras` file would build, read from its bytes: layers that run no code of the file's, and nothing else.

Keras rebuilds whatever its configuration names, and its own safe mode has had holes. So the check is a list of what the
architectures of `bioseg.models` are made of, and runs before Keras sees the file.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bioseg.bundles import zip_members
from bioseg.bundles.json_text import parse, shown
from bioseg.errors import BundleError

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
LARGEST = {"metadata.json": 2**16, CONFIG: 2**22, WEIGHTS: 2**28}
"""Members, with the bytes that each may inflate to."""
ALLOWED = frozenset(
    {
        ("keras.src.models.functional", "Functional"),
        ("keras", "DTypePolicy"),
        (None, "__keras_tensor__"),
        *(("keras.initializers", name) for name in ("GlorotUniform", "HeNormal", "Ones", "Orthogonal", "Zeros")),
        *(
            ("keras.layers", name)
            for name in (
                "Activation",
                "Add",
                "BatchNormalization",
                "Concatenate",
                "Conv2D",
                "Conv2DTranspose",
                "ConvLSTM2D",
                "Dropout",
                "InputLayer",
                "MaxPooling2D",
                "ReLU",
                "Reshape",
                "UpSampling2D",
            )
        ),
    }
)
"""Module and name of every object that the architectures of `bioseg.models` are made of; a new layer is added here."""


def check(file: Path) -> None:
    """Check the members of a `.keras` file and every object that its configuration names; Keras is not needed.

    Raises
    ------
    BundleError
        Naming the first member or object that does not belong there.
    """
    with zip_members.open_archive(file, LARGEST) as archive:
        source = f"{file} ({CONFIG})"
        config = parse(zip_members.content(archive, CONFIG), source)
    if not isinstance(config, dict) or config.get("class_name") != "Functional":
        raise BundleError(f"{source} describes no functional model; build the network as one and export it again")
    if config.get("compile_config"):
        raise BundleError(f"{source} holds an optimizer or a loss; export the network without compiling it")
    for value in _objects(config):
        _check_object(value, source)


def _objects(config: object) -> Iterator[dict[str, Any]]:
    """Every object at any depth that Keras might rebuild."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if not {"class_name", "module", "registered_name"}.isdisjoint(value):
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _check_object(value: dict[str, Any], source: str) -> None:
    module, name, registered = (value.get(key) for key in ("module", "class_name", "registered_name"))
    texts = isinstance(name, str) and (module is None or isinstance(module, str))
    if not texts or (module, name) not in ALLOWED or registered not in {None, name}:
        allowed = ", ".join(sorted(name for _, name in ALLOWED))
        found = shown(f"{module}.{name}" if registered in (None, name) else f"{module}.{name} ({registered})")
        raise BundleError(f"{source} wants {found}; allowed are {allowed}: build the network of these")

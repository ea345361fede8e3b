"""The file that a fit leaves behind: its tensors, what fit it is of, and notes on how far it came."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from bioseg.errors import InvalidInput
from bioseg.training import Run

Tensors = dict[str, torch.Tensor]


def write(
    file: Path, tensors: Mapping[str, torch.Tensor], made_by: Mapping[str, str], notes: Mapping[str, str]
) -> None:
    """Keep tensors; `made_by` says what fit they are of. A file that is there is replaced whole."""
    half_written = file.with_suffix(".part")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, half_written, {**notes, **made_by})
    half_written.replace(file)


def read(file: Path, made_by: Mapping[str, str]) -> tuple[Tensors, dict[str, str]]:
    """Give tensors, in ordinary memory, and notes of a file.

    Raises
    ------
    FileNotFoundError
        When there is none.
    InvalidInput
        When another fit wrote it.
    """
    with safe_open(file, "pt") as saved:
        notes = dict(saved.metadata() or {})
        if {name: notes.pop(name, None) for name in made_by} != dict(made_by):
            raise InvalidInput(f"{file} is of a fit with other settings or data: remove it, or name another version")
        return {name: saved.get_tensor(name) for name in saved.keys()}, notes  # noqa: SIM118 - no mapping


def ended(file: Path, made_by: Mapping[str, str], run: Run) -> Tensors | None:
    """Give the tensors of a fit that came to its end, its notes recalled; None when there is no such file.

    Raises InvalidInput when another fit wrote it.
    """
    try:
        tensors, notes = read(file, made_by)
    except FileNotFoundError:
        return None
    if float(notes["done"]) < 1:
        return None
    run.recall(notes)
    return tensors

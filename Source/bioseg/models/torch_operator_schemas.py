"""Lets torchvision be imported beside a CPU build of torch.

torchvision's wheel is built against a CUDA torch. Beside a CPU build its compiled operators cannot be loaded, and the
import fails on two names that the models and transforms used here never call; declaring their schemas is enough.
"""

import importlib.util
from pathlib import Path

import torch

_library: torch.library.Library | None = None


def declare() -> None:
    """Declare `torchvision::nms` and `torchvision::qnms` when torchvision's compiled operators cannot be loaded."""
    global _library  # noqa: PLW0603 - torch drops the schemas with the library object
    found = importlib.util.find_spec("torchvision")
    if _library is not None or found is None or found.origin is None:
        return
    try:
        torch.ops.load_library(str(Path(found.origin).parent / "_C.so"))
    except OSError:
        _library = torch.library.Library("torchvision", "FRAGMENT")
        _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

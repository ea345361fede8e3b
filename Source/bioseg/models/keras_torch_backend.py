"""Keras on its torch backend: the faster of its backends on a CPU, and one framework less to install."""

import os
import sys

from bioseg.errors import RuntimeUnavailable


def use_torch() -> None:
    """Make this process's Keras run on torch, channels first. Call it before Keras is imported anywhere else.

    Its networks lie in ordinary memory, on machines with a GPU too, unless a fit moves them.

    Raises
    ------
    RuntimeUnavailable
        When Keras runs on another backend already.
    """
    if "keras" not in sys.modules:
        os.environ |= {"KERAS_BACKEND": "torch", "KERAS_TORCH_DEVICE": "cpu"}
    import keras

    if keras.backend.backend() != "torch":
        raise RuntimeUnavailable(
            f"Keras runs on {keras.backend.backend()} in this process; set KERAS_BACKEND=torch and start it again"
        )
    keras.config.set_image_data_format("channels_first")


def use_threads(threads: int) -> None:
    """Set how many threads the whole process computes with."""
    import torch

    torch.set_num_threads(threads)

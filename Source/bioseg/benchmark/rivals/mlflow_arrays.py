"""The mask as an MLflow model that takes tensors: `python -m bioseg.benchmark.rivals.mlflow_arrays FOLDER`."""

import sys
from collections.abc import Mapping

import numpy as np
from mlflow.models import ModelSignature
from mlflow.pyfunc import save_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray

from bioseg.benchmark.rivals import mask

STACK = Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1))])


class Membrane(PythonModel):
    """Takes `{"inputs": [[[...]]]}`, decoded pictures as lists, the format that is documented for tensors."""

    def load_context(self, context: PythonModelContext) -> None:  # noqa: ARG002
        """Load the networks, once in each process."""
        self._mark = mask.marker()

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: NDArray[np.uint8],
        params: Mapping[str, object] | None = None,  # noqa: ARG002
    ) -> NDArray[np.uint8]:
        """Draw the mask of each picture, 0 or 255."""
        return np.stack([self._mark(gray) * np.uint8(255) for gray in model_input])


if __name__ == "__main__":
    signature = ModelSignature(inputs=STACK, outputs=STACK)
    # no requirements: it runs where it was saved
    save_model(sys.argv[1], python_model=Membrane(), signature=signature, pip_requirements=[])

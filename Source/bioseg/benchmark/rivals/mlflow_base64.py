"""The mask as an MLflow model that takes encoded pictures: `python -m bioseg.benchmark.rivals.mlflow_base64 FOLDER`."""

import base64
import sys
from collections.abc import Iterable, Mapping

from mlflow.pyfunc import save_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from bioseg.benchmark.rivals import mask


class Membrane(PythonModel):
    """Takes `{"inputs": [...]}`, pictures in base64, as its server has no other way for bytes; answers likewise."""

    def load_context(self, context: PythonModelContext) -> None:  # noqa: ARG002
        """Load the networks, once in each process."""
        self._draw = mask.drawer()

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: Iterable[str],
        params: Mapping[str, object] | None = None,  # noqa: ARG002
    ) -> list[str]:
        """Draw the mask of each picture."""
        return [base64.b64encode(self._draw(base64.b64decode(picture))).decode() for picture in model_input]


if __name__ == "__main__":
    # no requirements: it runs where it was saved
    save_model(sys.argv[1], python_model=Membrane(), pip_requirements=[])

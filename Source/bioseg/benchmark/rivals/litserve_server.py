"""The mask as a LitServe server: `python -m bioseg.benchmark.rivals.litserve_server PORT`."""

import sys

import litserve
from fastapi import Request, Response

from bioseg.benchmark.rivals import mask


class Membrane(litserve.LitAPI):  # type: ignore[misc]
    """`POST /predict` takes the part `image` of a form and answers the PNG of its mask."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the networks, once in each process."""
        self._draw = mask.drawer()

    def decode_request(self, request: Request) -> bytes:
        """Take the upload's bytes."""
        return bytes(request["image"].file.read())

    def predict(self, data: bytes) -> bytes:
        """Draw the mask."""
        return self._draw(data)

    def encode_response(self, output: bytes) -> Response:
        """Answer it as it is."""
        return Response(output, media_type="image/png")


if __name__ == "__main__":
    processes = mask.processes()
    server = litserve.LitServer(Membrane(), accelerator="cpu", devices=1, workers_per_device=processes, timeout=600)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)

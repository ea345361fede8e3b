"""The mask as a BentoML service: raw bytes in, raw bytes out."""

from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from bioseg.benchmark.rivals import mask


@bentoml.service(
    workers=mask.processes(),
    traffic={"timeout": 600},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Membrane:
    """`POST /segment` takes an encoded picture as its body and answers the PNG of its mask."""

    def __init__(self) -> None:
        self._draw = mask.drawer()

    @bentoml.api  # type: ignore[untyped-decorator]
    def segment(
        self, image: Annotated[bytes, ContentType("image/png")], /
    ) -> Annotated[bytes, ContentType("image/png")]:
        """Draw the mask of one picture."""
        return self._draw(image)

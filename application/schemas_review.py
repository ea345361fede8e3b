"""The JSON of the blind review. Nothing in it tells the arms apart: neither names nor sizes nor addresses."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from application.schemas import Name, Open

EXAMPLE_PAIR = "Nw.T1vZ2xkQ0mWq3mX8hYyN1o4y2cE"


class PairToJudge(BaseModel):
    """The next pair of the sample, unnamed: which arm is on which side was drawn at random."""

    id: str = Field(description="Names the pair in `POST /api/v1/pairs/{id}/judgement`.", examples=[EXAMPLE_PAIR])
    study: str = Field(examples=["membrane"])
    task: Literal["segmentation", "classification"]
    classes: list[str] = Field(description="Labels that may be given (classification).")
    judged: int = Field(description="Pairs of this rollout that were judged.")
    waiting: int = Field(description="Pairs that wait, this one included.")
    image_url: str = Field(description="PNG of the upload.", examples=[f"/api/v1/pairs/{EXAMPLE_PAIR}/image.png"])
    left_url: str | None = Field(description="PNG of one mask, 255 = foreground; null for a classification.")
    right_url: str | None = Field(description="PNG of the other mask.")
    start_url: str | None = Field(description="PNG of the mask to correct, of an arm that was drawn at random.")


class Judgement(BaseModel):
    """What a reviewer says of a pair: exactly one of these, or a corrected mask."""

    model_config = ConfigDict(extra="forbid")

    preferred: Annotated[Literal["left", "right", "same"] | None, Open] = Field(
        None, description="Where the better mask stands (segmentation)."
    )
    label: Annotated[Name | None, Open] = Field(None, description="The class of the image (classification).")


class Disagreement(BaseModel):
    """A pair on which the arms differ, to look at and to label its request."""

    request: str = Field(description="Id of the request.")
    agreement: float = Field(description="Dice of the two masks, or 0 for different classes: an order, no quality.")
    image_url: str
    left_url: str | None = Field(description="PNG of one mask, as in the review; null for a classification.")
    right_url: str | None
    left_label: str | None = Field(description="What one arm told (classification).")
    right_label: str | None
    feedback_url: str = Field(description="Where a label or a corrected mask goes; it enters no verdict.")


class Disagreements(BaseModel):
    """Pairs of a rollout that wait for a label, those with the least agreement first."""

    study: str
    classes: list[str] = Field(description="Labels that may be given.")
    pairs: list[Disagreement]

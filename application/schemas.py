"""The JSON of the API: what comes in, what goes out, and how both are documented."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from apiflask.fields import UploadFile
from flask import url_for
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from bioseg import service, studies
from bioseg.database.tables import RequestRecord

Verdict = Literal["accept", "ask", "reject"]
EXAMPLE_ID = "6f1d0c5e9b7a4c3d8e2f1a0b9c8d7e6f"
LARGEST_SEQ = 2**63 - 1


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("the character U+0000 is not allowed")
    return text


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the date is out of range") from error


Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_without_nul)]
Text = Annotated[str, Field(max_length=2000), AfterValidator(_without_nul)]
# A form sends an empty field for what its user left open.
Open = BeforeValidator(lambda value: None if value == "" else value)


class Given(BaseModel):
    """Something a caller sends; a misspelt field is an error, never silently ignored."""

    model_config = ConfigDict(extra="forbid")


class ClassifyForm(Given):
    """Upload of one image (multipart)."""

    image: UploadFile = Field(description="One image: PNG, JPEG, TIFF, BMP, WebP or GIF with one frame.")
    study: Name = Field(description="Name of a study, as `/api/v1/studies` lists them.", examples=["kinds"])
    label: Annotated[Name | None, Open] = Field(None, description="Your own label: one of the study's classes.")
    override: bool = Field(
        default=False, description="Go on although the screen asks (verdict `ask`); it is recorded. A `reject` stays."
    )


class SegmentForm(ClassifyForm):
    """Upload of one image to segment (multipart)."""

    study: Name = Field(studies.DEFAULT, description="Name of a segmentation study.", examples=["membrane"])


class Feedback(Given):
    """Your judgement of a result; what is left out stays as it was."""

    label: Annotated[Name | None, Open] = Field(None, description="The right label: one of the study's classes.")
    mask_ok: Annotated[bool | None, Open] = Field(None, description="Whether the mask is right.")
    comment: Annotated[Text | None, Open] = Field(None, description="Anything worth knowing.")


class SignIn(Given):
    """What a browser signs in with."""

    token: str = Field(
        min_length=1, max_length=512, description="The API token of the installation, or its operators' token."
    )


class HistoryQuery(BaseModel):
    """Which of your requests are listed."""

    study: Name | None = Field(None, description="Only of this study.")
    label: Name | None = Field(None, description="Only with this label of yours.")
    verdict: Verdict | None = Field(None, description="Only with this verdict of the screen.")
    since: Annotated[AwareDatetime, AfterValidator(_utc)] | None = Field(
        None, description="Only since this moment, ISO 8601 with its zone.", examples=["2026-01-31T00:00:00Z"]
    )
    cursor: int | None = Field(None, ge=0, le=LARGEST_SEQ, description="`next_cursor` of the page before.")
    limit: int = Field(50, ge=1, le=100, description="Most requests of one page.")


class Screen(BaseModel):
    """What the screen says of an image."""

    verdict: Verdict
    score: float | None = Field(description="Probability, 0 to 1, that the image is of a kind that the study accepts.")
    kind: str | None = Field(description="The most probable kind.")
    reason: str | None = Field(description="The verdict in words.", examples=["looks like membrane EM, 0.98"])
    version: str | None = Field(description="Version of the model that screened.")

    @classmethod
    def of(cls, record: RequestRecord) -> Self | None:
        """Read the screen's answer off a record; None when it was not screened."""
        return None if record.screen_verdict is None else cls.model_validate(service.screen_of(record))


Timings = Annotated[
    dict[str, float],
    Field(description="Milliseconds of each stage and in total.", examples=[{"decode": 2.1, "model": 130.4}]),
]


class Segmentation(BaseModel):
    """A segmented image."""

    id: str = Field(description="128 random bits.", examples=[EXAMPLE_ID])
    study: str = Field(examples=["membrane"])
    screen: Screen | None
    arm: str | None = Field(description="`champion` or `challenger`.", examples=["champion"])
    version: str | None = Field(description="Version of the model.", examples=["1.0.0"])
    precision: str | None = Field(examples=["f32"])
    foreground_fraction: float | None = Field(description="Share of the pixels that is foreground, 0 to 1.")
    timings_ms: Timings
    mask_url: str | None = Field(
        description="PNG of the upload's size; 255 = foreground.", examples=[f"/api/v1/requests/{EXAMPLE_ID}/mask.png"]
    )
    overlay_url: str | None = Field(description="PNG of the image with the mask tinted.")

    @classmethod
    def of(cls, record: RequestRecord) -> Self:
        """Show a stored record."""
        return cls(
            id=record.id,
            study=record.study,
            screen=Screen.of(record),
            arm=record.arm,
            version=record.version,
            precision=record.precision,
            foreground_fraction=record.foreground_fraction,
            timings_ms=record.timings_ms,
            mask_url=_url(record, "mask"),
            overlay_url=_url(record, "overlay"),
        )


class Classification(BaseModel):
    """A classified image."""

    id: str = Field(examples=[EXAMPLE_ID])
    study: str = Field(examples=["kinds"])
    screen: Screen | None
    arm: str | None = Field(examples=["champion"])
    version: str | None = Field(examples=["1.0.0"])
    label: str | None = Field(description="The most probable class.", examples=["membrane EM"])
    probabilities: dict[str, float] = Field(description="Calibrated probability of each class.")
    timings_ms: Timings
    heatmap_url: str | None = Field(
        description="PNG of the image under colours, red where most of the evidence for `label` is; null when the model"
        " tells none.",
        examples=[f"/api/v1/requests/{EXAMPLE_ID}/heatmap.png"],
    )

    @classmethod
    def of(cls, record: RequestRecord) -> Self:
        """Show a stored record."""
        return cls(
            id=record.id,
            study=record.study,
            screen=Screen.of(record),
            arm=record.arm,
            version=record.version,
            label=record.predicted,
            probabilities=record.probabilities,
            timings_ms=record.timings_ms,
            heatmap_url=_url(record, "heatmap"),
        )


class GivenFeedback(BaseModel):
    """The judgement that is stored with a request."""

    label: str | None
    mask_ok: bool | None
    comment: str | None
    corrected_mask: bool = Field(description="Whether a corrected mask is stored.")
    at: datetime


class Resources(BaseModel):
    """What a request cost; each is one point in MLflow too."""

    cpu_seconds: float = Field(description="CPU time of the request and its inference.")
    cpu_percent: float = Field(description="Load of the machine meanwhile, 0 to 100.")
    memory_rss_mb: float = Field(description="Resident memory of the process, MiB.")
    latency_ms: float = Field(description="From arrival until the record is about to be written.")


class TrackingPoint(BaseModel):
    """Where a request's figures are in MLflow."""

    run: str
    step: int


class Record(BaseModel):
    """Everything that is stored of one request."""

    id: str = Field(examples=[EXAMPLE_ID])
    created_at: datetime
    study: str
    task: Literal["segmentation", "classification"]
    status: Literal["done", "refused", "failed"]
    error: str | None = Field(description="Why it failed, in words.")
    width: int | None
    height: int | None
    label: str | None = Field(description="Your own label at the upload.")
    screen: Screen | None
    overridden: bool = Field(description="Whether you went on although the screen asked.")
    arm: str | None
    version: str | None
    precision: str | None
    foreground_fraction: float | None
    predicted: str | None = Field(description="The most probable class of a classification.")
    probabilities: dict[str, float]
    timings_ms: Timings
    resources: Resources
    feedback: GivenFeedback | None
    tracking: TrackingPoint | None
    image_url: str | None
    mask_url: str | None
    overlay_url: str | None
    probability_url: str | None
    instances_url: str | None
    heatmap_url: str | None

    @classmethod
    def of(cls, record: RequestRecord) -> Self:
        """Show a stored record."""
        same = ("id", "created_at", "study", "task", "status", "width", "height", "label", "overridden", "arm")
        also = ("version", "precision", "foreground_fraction", "predicted", "probabilities", "timings_ms")
        shown: dict[str, Any] = {name: getattr(record, name) for name in (*same, *also)}
        pictures = ("image", "mask", "overlay", "probability", "heatmap")
        shown |= {f"{what}_url": _url(record, what) for what in pictures}
        shown["instances_url"] = shown["mask_url"] and url_for("api.instances", request_id=record.id)
        shown |= {"error": record.detail, "screen": Screen.of(record), "feedback": _feedback_of(record)}
        shown["resources"] = {name: getattr(record, name) for name in Resources.model_fields}
        shown["tracking"] = record.mlflow_run and {"run": record.mlflow_run, "step": record.mlflow_step}
        return cls.model_validate(shown)


class RecordPage(BaseModel):
    """Your requests, newest first."""

    requests: list[Record]
    next_cursor: int | None = Field(description="`cursor` of the next page; null on the last one.")


class Dataset(BaseModel):
    """Where images that a study learns from or is measured on come from."""

    name: str = Field(examples=["isbi2012"])
    title: str
    citation: str
    licence: str = Field(examples=["free for research with citation"])
    source: str = Field(description="Address of the publisher's page.")


class Study(BaseModel):
    """A study with its versions."""

    name: str
    title: str
    task: Literal["segmentation", "classification"]
    classes: list[str]
    versions: list[str]
    champion: str | None
    challenger: str | None
    screened_by: str | None
    accepts: list[str]
    notice: str = Field(description="What to know before relying on an answer.")
    known_failures: list[str] = Field(description="Where the model is known to err.")
    datasets: list[Dataset]


STUDIES: Any = list[Study]
"""The framework takes a list of models and does not say so in its types."""


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Whether each thing that serving needs can be used."""

    status: Literal["ok", "failing"]
    checks: dict[str, Literal["ok", "failing"]] = Field(examples=[{"database": "ok", "membrane": "ok"}])


class Problem(BaseModel):
    """A problem document, RFC 9457."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:bioseg:problem:refused",
                    "title": "The image was not accepted",
                    "status": 422,
                    "detail": "not accepted: looks like a photo, 0.97",
                    "instance": f"/api/v1/requests/{EXAMPLE_ID}",
                    "id": EXAMPLE_ID,
                    "screen": {
                        "verdict": "reject",
                        "score": 0.01,
                        "kind": "photo",
                        "reason": "looks like a photo, 0.97",
                        "version": "1.0.0",
                    },
                }
            ]
        },
    )

    type: str = Field(description="Identifies the problem; `about:blank`: the status says all.")
    title: str
    status: int
    detail: str
    instance: str
    id: str | None = Field(None, description="Of the stored request, when the screen refused it.")
    screen: Screen | None = Field(None, description="The screen's answer, when it refused.")
    errors: dict[str, str] | None = Field(None, description="What is wrong with each field.")


def _feedback_of(record: RequestRecord) -> GivenFeedback | None:
    if record.feedback_at is None:
        return None
    return GivenFeedback(
        label=record.feedback_label,
        mask_ok=record.mask_ok,
        comment=record.comment,
        corrected_mask=record.corrected_mask_blob is not None,
        at=record.feedback_at,
    )


def _url(record: RequestRecord, what: str) -> str | None:
    """Path of a stored picture; None when the record has none or was deleted."""
    key = record.mask_blob if what == "overlay" else getattr(record, f"{what}_blob")
    if key is None or record.deleted_at is not None:
        return None
    return url_for("api.picture", request_id=record.id, what=what)

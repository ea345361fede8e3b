"""The API, version 1: thin views, one per call, over `bioseg.service` and `bioseg.records`."""

import re
from http import HTTPStatus

from apiflask import APIBlueprint
from apiflask.schemas import FileSchema
from flask import Response, request
from werkzeug.datastructures import FileStorage

from application import context, schemas, traffic
from application.openapi import PNG, TIFF, problems
from bioseg import records, service
from bioseg.database.tables import RequestRecord
from bioseg.errors import InvalidInput
from bioseg.listing import describe_studies
from bioseg.records import Picture

IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,128}")

api = APIBlueprint("api", __name__, url_prefix="/api/v1", tag="API")


@api.post("/segment")
@api.input(schemas.SegmentForm, location="files", arg_name="form")
@api.output(schemas.Segmentation, description="The result; with `Accept: image/png` the mask itself.")
@api.doc(responses=problems(400, 404, 409, 413, 415, 422, 503))
def segment(form: schemas.SegmentForm) -> schemas.Segmentation | Response:
    """Draw the mask of one image.

    The screen looks first. It answers 422 for an image that the study was not made for; the upload is stored even
    then, under the member `id`. On the verdict `ask` the same upload with `override=true` is segmented.

    The header `Idempotency-Key` makes a repeated call with the same cookie give the first answer, for 24 hours.
    """
    record = service.segment(context.platform(), _upload(form))
    traffic.note(record.id, record.timings_ms)
    if request.accept_mimetypes.best_match(["application/json", PNG]) != PNG:
        return schemas.Segmentation.of(record)
    response = _kept(records.picture(context.platform(), record, "mask"), PNG)
    response.headers.update({"Bioseg-Id": record.id, "Bioseg-Arm": record.arm, "Bioseg-Version": record.version})
    return response


@api.post("/classify")
@api.input(schemas.ClassifyForm, location="files", arg_name="form")
@api.output(schemas.Classification)
@api.doc(responses=problems(400, 404, 409, 413, 415, 422, 503))
def classify(form: schemas.ClassifyForm) -> schemas.Classification:
    """Tell the class of one image.

    The header `Idempotency-Key` makes a repeated call with the same cookie give the first answer, for 24 hours.
    """
    record = service.classify(context.platform(), _upload(form))
    traffic.note(record.id, record.timings_ms)
    return schemas.Classification.of(record)


@api.get("/requests")
@api.input(schemas.HistoryQuery, location="query", arg_name="query")
@api.output(schemas.RecordPage)
@api.doc(responses=problems(400))
def history(query: schemas.HistoryQuery) -> schemas.RecordPage:
    """List your requests, newest first; an operator's list is everybody's."""
    found, cursor = records.history(context.platform(), context.caller().sees, **query.model_dump())
    return schemas.RecordPage(requests=[schemas.Record.of(record) for record in found], next_cursor=cursor)


@api.get("/requests/<id:request_id>")
@api.output(schemas.Record)
@api.doc(responses=problems(404))
def request_record(request_id: str) -> schemas.Record:
    """Show one of your requests."""
    return schemas.Record.of(_find(request_id))


@api.delete("/requests/<id:request_id>")
@api.output({}, status_code=204)
@api.doc(responses=problems(404))
def delete(request_id: str) -> tuple[str, int]:
    """Delete one of your requests: its pictures go, its numbers stay."""
    records.delete(context.platform(), request_id, context.caller().sees)
    return "", HTTPStatus.NO_CONTENT


@api.get("/requests/<id:request_id>/image.png", defaults={"what": "image"})
@api.get("/requests/<id:request_id>/mask.png", defaults={"what": "mask"})
@api.get("/requests/<id:request_id>/overlay.png", defaults={"what": "overlay"})
@api.get("/requests/<id:request_id>/probability.png", defaults={"what": "probability"})
@api.get("/requests/<id:request_id>/heatmap.png", defaults={"what": "heatmap"})
@api.output(FileSchema(type="string", format="binary"), content_type=PNG)
@api.doc(responses=problems(404))
def picture(request_id: str, what: Picture) -> Response:
    """Show a picture of one of your requests.

    All have the upload's own width and height after EXIF rotation. The mask is 255 where there is foreground, the
    probability 255 where it is certain, and the overlay the image with the mask tinted. The heat map lies over the
    image, red where most of the evidence for the told class is.
    """
    return _kept(records.picture(context.platform(), _find(request_id), what), PNG)


@api.get("/requests/<id:request_id>/instances.tif")
@api.output(FileSchema(type="string", format="binary"), content_type=TIFF)
@api.doc(responses=problems(404))
def instances(request_id: str) -> Response:
    """Number the cells, or objects, in the mask of one of your requests.

    A TIFF of the upload's own width and height after EXIF rotation: 0 for none, else 1 to the number of things. Where
    the foreground is a boundary, each cell has its share of it.
    """
    return _kept(records.numbered(context.platform(), _find(request_id)), TIFF)


@api.post("/requests/<id:request_id>/feedback")
@api.input(schemas.Feedback, location="json_or_form", arg_name="given")
@api.output(schemas.Record)
@api.doc(responses=problems(400, 404, 413, 415))
def feedback(request_id: str, given: schemas.Feedback) -> schemas.Record:
    """Judge a result: as JSON, or as multipart with a corrected mask.

    The corrected mask, an image of the upload's size, goes into the part `mask`; brighter than half is foreground.
    """
    file = _only_file("mask") if "mask" in request.files else None
    judgement = records.Feedback(**given.model_dump(), mask=None if file is None else file.read())
    if judgement == records.Feedback():
        raise InvalidInput("the feedback is empty: send one of label, mask_ok, comment, mask")
    sees = context.caller().sees
    return schemas.Record.of(records.give_feedback(context.platform(), request_id, sees, judgement))


@api.get("/studies")
@api.output(schemas.STUDIES)
def studies() -> list[dict[str, object]]:
    """List the studies with their versions and aliases."""
    platform = context.platform()
    return describe_studies(platform.registry, platform.runtime.aliases)


def _upload(form: schemas.ClassifyForm) -> service.Upload:
    return service.Upload(
        data=_only_file("image").read(),
        study=form.study,
        owner=context.caller().owner,
        received=traffic.received(),
        label=form.label,
        override=form.override,
        idempotency_key=_idempotency_key(),
    )


def _only_file(name: str) -> FileStorage:
    files = request.files.getlist(name)
    if len(files) != 1:
        raise InvalidInput(f"{len(files)} files came as {name!r}; send one per request")
    return files[0]


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidInput("Idempotency-Key must be 1 to 128 visible ASCII characters")
    return key


def _find(request_id: str) -> RequestRecord:
    return records.find(context.platform(), request_id, context.caller().sees)


def _kept(data: bytes, mimetype: str) -> Response:
    """Answer a picture that the caller's own browser may keep, and must ask about again."""
    response = Response(data, mimetype=mimetype)
    response.cache_control.private, response.cache_control.no_cache = True, True
    response.add_etag()
    response.make_conditional(request)
    return response

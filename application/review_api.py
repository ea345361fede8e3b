"""The API of the blind review, for operators: the next pair, its pictures, the judgement, and the disagreements."""

from http import HTTPStatus

from apiflask import APIBlueprint
from apiflask.schemas import FileSchema
from flask import Response, current_app, request, url_for
from itsdangerous import BadSignature, URLSafeSerializer

from application import access, context, schemas_review
from application.openapi import OPERATORS, PNG, Responses, problems
from bioseg import review as reviewing
from bioseg.errors import InvalidInput, UnknownPair
from bioseg.review import Exhibit, Shown

JUDGE, LOOK = "judge", "look"
"""What the id of a pair was given for."""
NONE_WAITS: Responses = {HTTPStatus.NO_CONTENT.value: {"description": "No pair waits."}}
ONE_OF = "send exactly one of preferred, label, mask"

review = APIBlueprint("review", __name__, url_prefix="/api/v1", tag=OPERATORS)
review.before_request(access.require_operator)


@review.get("/rollouts/<study>/review")
@review.output(schemas_review.PairToJudge, description="The pair; 204 when none waits.")
@review.doc(responses=NONE_WAITS | problems(404, 409))
def next_pair(study: str) -> schemas_review.PairToJudge | Response:
    """Show the next pair of a rollout that is to be judged, without telling which arm is which.

    The pairs come in an order that was drawn at random, so that those judged are a uniform sample: only they count
    for the verdict. A pair may be judged by a choice between the masks and by a corrected mask, each once; it gives way
    to the next one after either.
    """
    exhibit = reviewing.next_pair(context.platform(), study)
    if exhibit is None:
        return Response(status=HTTPStatus.NO_CONTENT)
    judged, waiting = reviewing.progress(context.platform(), study)
    pair_id = _id_of(exhibit, JUDGE)
    masks = exhibit.study.task == "segmentation"
    return schemas_review.PairToJudge(
        id=pair_id,
        study=study,
        task=exhibit.study.task,
        classes=[] if masks else list(exhibit.study.classes),
        judged=judged,
        waiting=waiting,
        image_url=_address(pair_id, "image"),
        left_url=_address(pair_id, "left") if masks else None,
        right_url=_address(pair_id, "right") if masks else None,
        start_url=_address(pair_id, "start") if masks else None,
    )


@review.get("/pairs/<pair_id>/image.png", defaults={"shown": "image"})
@review.get("/pairs/<pair_id>/left.png", defaults={"shown": "left"})
@review.get("/pairs/<pair_id>/right.png", defaults={"shown": "right"})
@review.get("/pairs/<pair_id>/start.png", defaults={"shown": "start"})
@review.output(FileSchema(type="string", format="binary"), content_type=PNG)
@review.doc(responses=problems(404))
def pair_picture(pair_id: str, shown: Shown) -> Response:
    """Show the image of a pair, the mask on one side, or the mask to correct; masks: 255 = foreground."""
    # Without an entity tag: the picture of the request has one, and equal tags would tell which arm served it.
    return Response(reviewing.picture(context.platform(), _pair(pair_id, JUDGE, LOOK), shown), mimetype=PNG)


@review.post("/pairs/<pair_id>/judgement")
@review.input(schemas_review.Judgement, location="json_or_form", arg_name="given")
@review.output({}, status_code=204)
@review.doc(responses=problems(400, 404, 409, 413, 415))
def judge(pair_id: str, given: schemas_review.Judgement) -> tuple[str, int]:
    """Judge a pair: as JSON, or as multipart with a corrected mask in the part `mask`.

    The corrected mask is an image of the upload's size; brighter than half is foreground. What was said once stays:
    a second judgement of the same kind is answered 409.
    """
    platform, pair = context.platform(), _pair(pair_id, JUDGE)
    masks = request.files.getlist("mask")
    if len(masks) + (given.preferred is not None) + (given.label is not None) != 1:
        raise InvalidInput(ONE_OF)
    if masks:
        reviewing.correct(platform, pair, masks[0].read())
    elif given.preferred is not None:
        reviewing.prefer(platform, pair, given.preferred)
    else:
        reviewing.label(platform, pair, str(given.label))
    return "", HTTPStatus.NO_CONTENT


@review.get("/rollouts/<study>/disagreements")
@review.output(schemas_review.Disagreements)
@review.doc(responses=problems(404, 409))
def disagreements(study: str) -> schemas_review.Disagreements:
    """List the pairs of a rollout on which the arms agree least, to look at and to label their requests.

    They are no random sample: their labels train models and enter no verdict.
    """
    found = reviewing.disagreements(context.platform(), study)
    classes = list(found[0].study.classes) if found else []
    return schemas_review.Disagreements(study=study, classes=classes, pairs=[_disagreement(each) for each in found])


def _disagreement(exhibit: Exhibit) -> schemas_review.Disagreement:
    pair_id, masks = _id_of(exhibit, LOOK), exhibit.study.task == "segmentation"
    return schemas_review.Disagreement(
        request=exhibit.record.id,
        agreement=exhibit.pair.agreement or 0.0,
        image_url=_address(pair_id, "image"),
        left_url=_address(pair_id, "left") if masks else None,
        right_url=_address(pair_id, "right") if masks else None,
        left_label=exhibit.answer("left"),
        right_label=exhibit.answer("right"),
        feedback_url=url_for("api.feedback", request_id=exhibit.record.id),
    )


def _id_of(exhibit: Exhibit, purpose: str) -> str:
    """Id of a pair outside: only one that the queue of the sample gave out can be judged."""
    return str(_serializer(purpose).dumps(exhibit.pair.id))


def _pair(pair_id: str, *purposes: str) -> int:
    for purpose in purposes:
        try:
            return int(_serializer(purpose).loads(pair_id))
        except BadSignature:
            continue
    raise UnknownPair("no such pair; those that can be judged come from GET /api/v1/rollouts/STUDY/review")


def _serializer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt=f"pair to {purpose}")


def _address(pair_id: str, shown: Shown) -> str:
    return url_for("review.pair_picture", pair_id=pair_id, shown=shown)

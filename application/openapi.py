"""What the API documentation needs beyond the schemas of the views."""

import json
import re
from http import HTTPStatus
from typing import Any, TypeAlias, cast

from apiflask import APIFlask

from application import access, csrf, schemas, schemas_review
from application.errors import MEDIA_TYPE

PNG = "image/png"
TIFF = "image/tiff"
COOKIE = "bioseg"
COMPONENTS = "#/components/schemas/"
OPERATORS = "Operators"
"""Tag of the calls that are for operators alone."""
BINARY = {"schema": {"type": "string", "format": "binary"}}
MULTIPART = {
    "/api/v1/requests/{request_id}/feedback": schemas.Feedback,
    "/api/v1/pairs/{pair_id}/judgement": schemas_review.Judgement,
}
"""Calls that take JSON, or the same fields as a form with a mask beside them."""
SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "The API token, or the token of the operators."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Signed cookie that the page gives."},
}
Responses: TypeAlias = dict[int | str, dict[str, str | dict[str, dict[str, Any]]]]
IDEMPOTENCY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "description": (
        "A repeated call with the same key and body gives the first answer, for 24 hours. A key belongs to the owner "
        "of the cookie: send the cookie that the first call came with or was given, else the call counts as a new one. "
        "With a Bearer token it belongs to the token. "
        "A failure on this side is never the kept answer."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
}

TEXT = {"type": "string"}
IN_PATHS = {"request_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "study": TEXT, "pair_id": TEXT}


def problems(*statuses: int) -> Responses:
    """Document the problem documents that a view answers with."""
    responses: Responses = {}
    for status in statuses:
        responses |= documented(status, MEDIA_TYPE, "Problem")
    return responses


def documented(status: int, media_type: str, schema: str) -> Responses:
    """Document one answer beside the usual one, by the name of its schema."""
    content = {media_type: {"schema": {"$ref": COMPONENTS + schema}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content}}


def describe(app: APIFlask) -> None:
    """Set what is documented, and how, for an application."""
    app.config.update(
        DESCRIPTION="Screen, segment and classify biomedical images.",
        LICENSE={"name": "MIT", "identifier": "MIT"},
        AUTO_404_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_SERVERS=False,
        VALIDATION_ERROR_STATUS_CODE=HTTPStatus.BAD_REQUEST.value,
    )
    app.spec_processor(cast("Any", _complete))


def _complete(spec: dict[str, Any]) -> dict[str, Any]:
    """Add what the views declare in code only: header, PNG answer, corrected mask, ids."""
    spec = _without_copies(spec)
    spec["components"]["schemas"]["Problem"] = _problem()
    paths = spec["paths"]
    for call in ("segment", "classify"):
        paths[f"/api/v1/{call}"]["post"]["parameters"].append(IDEMPOTENCY)
    paths["/api/v1/segment"]["post"]["responses"]["200"]["content"][PNG] = BINARY
    for path, model in MULTIPART.items():
        bodies = paths[path]["post"]["requestBody"]["content"]
        del bodies["application/x-www-form-urlencoded"]
        fields = spec["components"]["schemas"][model.__name__]["properties"] | {"mask": BINARY["schema"]}
        form = {"type": "object", "properties": fields, "additionalProperties": False}
        bodies["multipart/form-data"] = {"schema": form}
    for path, operations in paths.items():
        for method, operation in operations.items():
            operation["operationId"] = method + re.sub(r"\W+", "_", path.removeprefix("/api/v1")).rstrip("_")
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["required"] = True
                    parameter["schema"] = IN_PATHS[parameter["name"]]
            if path.startswith(access.GUARDED):
                _describe_access(method, operation)
    spec["components"]["securitySchemes"] = SCHEMES
    spec["tags"] = list({tag["name"]: tag for tag in spec["tags"]}.values())  # blueprints may share one
    return spec


def _describe_access(method: str, operation: dict[str, Any]) -> None:
    """Add who may call, and how others are answered."""
    for_operators = OPERATORS in operation["tags"]
    anybody: list[dict[str, list[str]]] = [] if access.needs_token() or for_operators else [{}]
    operation["security"] = [{"token": []}, {"cookie": []}, *anybody]
    refusals = (401, 403, 429) if method.upper() in csrf.CHANGING or for_operators else (401, 429)
    operation["responses"] |= {str(status): answer for status, answer in problems(*refusals).items()}


def _without_copies(spec: dict[str, Any]) -> dict[str, Any]:
    """Name each schema once: the framework copies what two models share, as `Record.Screen` and so on."""
    named: dict[str, Any] = json.loads(re.sub(rf'"{COMPONENTS}\w+\.', f'"{COMPONENTS}', json.dumps(spec)))
    components = named["components"]
    components["schemas"] = {name.rpartition(".")[2]: schema for name, schema in components["schemas"].items()}
    return named


def _problem() -> dict[str, Any]:
    schema = schemas.Problem.model_json_schema(ref_template=COMPONENTS + "{model}")
    return {name: value for name, value in schema.items() if name != "$defs"}

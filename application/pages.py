"""The pages: the application itself and the interactive documentation of the API."""

from dataclasses import dataclass

from flask import Blueprint, render_template

from application import access, context
from bioseg import studies
from bioseg.listing import describe_studies

pages = Blueprint("pages", __name__)


@dataclass(frozen=True, slots=True)
class Example:
    """A synthetic picture to try the page with: its file in `static/examples` and what it shows."""

    file: str
    title: str


EXAMPLES = (
    Example("section-1.png", "First drawn section"),
    Example("section-2.png", "Second drawn section"),
    Example("chart.png", "A chart, to see a refusal"),
)


@pages.get("/")
def index() -> str:
    """Serve the page; the cookie that tells one visitor from another comes with it."""
    context.visitor()
    platform = context.platform()
    return render_template(
        "index.html",
        studies=describe_studies(platform.registry, platform.runtime.aliases),
        default_study=studies.DEFAULT,
        max_upload_mb=platform.settings.max_upload_mb,
        examples=EXAMPLES,
        needs_sign_in=access.needs_token(),
        signed_in=access.is_signed_in(),
        is_operator=access.is_operator(),
    )


@pages.get("/docs")
def docs() -> str:
    """Serve Swagger UI on `/openapi.json`, without a foreign host."""
    return render_template("docs.html")

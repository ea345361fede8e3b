"""The operators' pages: rollouts with the ledger, and the blind review. All they show comes from the API."""

from http import HTTPStatus

from apiflask import APIBlueprint
from flask import render_template

from application import access

operate = APIBlueprint("operate", __name__, url_prefix="/operate", enable_openapi=False)


@operate.before_request
def ask_who_it_is() -> tuple[str, int] | None:
    """Answer whoever is no operator with the sign-in in place of every page, and with nothing else."""
    if access.is_operator():
        return None
    return render_template("operate/sign-in.html"), HTTPStatus.UNAUTHORIZED


@operate.get("")
def rollouts() -> str:
    """Serve the page of the rollouts."""
    return render_template("operate/rollouts.html")


@operate.get("/review")
def review() -> str:
    """Serve the page of the blind review."""
    return render_template("operate/review.html")

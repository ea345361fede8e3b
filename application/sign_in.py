"""Signing in on the page, where the installation has an API token: its browser then needs no header."""

from http import HTTPStatus

from apiflask import APIBlueprint

from application import access, schemas

sign_in = APIBlueprint("sign_in", __name__, enable_openapi=False)


@sign_in.post("/session")
@sign_in.input(schemas.SignIn, arg_name="given")
def begin(given: schemas.SignIn) -> tuple[str, int]:
    """Sign the browser in with the API token."""
    access.sign_in(given.token)
    return "", HTTPStatus.NO_CONTENT


@sign_in.delete("/session")
def end() -> tuple[str, int]:
    """Sign the browser out."""
    access.sign_out()
    return "", HTTPStatus.NO_CONTENT

"""Signing in on a page, so that its browser needs no header: where there is an API token, and for operators."""

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


@sign_in.post("/operate/session")
@sign_in.input(schemas.SignIn, arg_name="given")
def begin_operator(given: schemas.SignIn) -> tuple[str, int]:
    """Sign the browser in with the operators' token."""
    access.sign_in_operator(given.token)
    return "", HTTPStatus.NO_CONTENT


@sign_in.delete("/operate/session")
def end_operator() -> tuple[str, int]:
    """Make the browser an ordinary visitor's again."""
    access.sign_out_operator()
    return "", HTTPStatus.NO_CONTENT

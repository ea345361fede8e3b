"""The web application: the page, the API and the probes, all on top of `bioseg.service` and `bioseg.records`."""

import typing
from datetime import timedelta

from apiflask import APIFlask
from flask import Flask
from flask.json.provider import DefaultJSONProvider
from flask.sessions import SecureCookieSessionInterface

from application import (
    access,
    api,
    context,
    csrf,
    errors,
    openapi,
    operate,
    overload,
    pages,
    probes,
    rate_limits,
    review_api,
    rollouts_api,
    sign_in,
    traffic,
)
from bioseg import credentials, settings
from bioseg.platform import Platform, open_before_database

API_VERSION = "1"
FORM_OVERHEAD = 64 * 1024
"""Bytes that the other fields and the frame of a multipart body may take beside the image."""


def create_app(platform: Platform | None = None) -> Flask:
    """Build the application; without a platform it opens the one that the settings describe.

    Raises
    ------
    SettingsError
        When a setting is unusable, or the key that signs cookies is missing and the database is not SQLite.
    """
    chosen = settings.load() if platform is None else platform.settings
    credentials.check(chosen)
    platform = platform or open_before_database(chosen)
    app = APIFlask(__name__, title="Bioseg", version=API_VERSION, docs_path=None, json_errors=False)
    app.config.update(
        SECRET_KEY=credentials.cookie_key(chosen, platform.sessions),
        MAX_CONTENT_LENGTH=platform.settings.max_upload_mb * 2**20 + FORM_OVERHEAD,
        SESSION_COOKIE_NAME=openapi.COOKIE,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(days=365),
    )
    app.session_interface = _SecureOverHttps()
    app.json = _ShallowJson(app)
    app.url_map.converters["id"] = context.IdConverter
    context.attach(app, platform)
    errors.register(app)
    openapi.describe(app)
    traffic.register(app)
    # A foreign page is refused before anything is looked up or counted, a stranger before an upload counts.
    csrf.register(app)
    access.register(app, platform)
    rate_limits.register(app, platform)
    blueprints = (
        *(api.api, rollouts_api.rollouts_api, review_api.review, probes.probes),
        *(pages.pages, operate.operate, sign_in.sign_in),
    )
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    overload.register(app, platform)
    return app


class _SecureOverHttps(SecureCookieSessionInterface):
    """Cookies that leave over HTTPS never travel without it; plain HTTP on a laptop keeps working."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return super().get_cookie_secure(app) or context.is_https()


class _ShallowJson(DefaultJSONProvider):
    """JSON that keeps the order of its members and answers a hostile depth of brackets as any malformed body."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: typing.Any) -> typing.Any:
        try:
            return super().loads(s, **kwargs)
        except RecursionError as error:
            raise ValueError("the JSON is nested too deeply") from error

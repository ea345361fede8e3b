"""The web application behind a function URL or an HTTP API (payload format 2.0).

Lambda imports this once for each of its containers, with more CPU than a request gets: whatever can be loaded, is.
The ledger is not followed, since nothing runs here between requests: each request asks it.
"""

from apig_wsgi import make_lambda_handler
from flask import Flask
from lambda_start import started

from application import create_app
from bioseg.platform import Platform, warm_up


def build(platform: Platform) -> Flask:
    """Make the application, with its networks loaded."""
    warm_up(platform)
    return create_app(platform)


handler = make_lambda_handler(started(build))

"""The web server's worker with little patience, so that tests of slow clients need not wait long."""

from application.gunicorn_worker import ImpatientWorker, Patience


class HastyWorker(ImpatientWorker):
    """Waits a tenth as long."""

    patience = Patience(1.0, 160 * 1024)

# ruff: noqa: N999
"""How gunicorn runs the application; `bioseg serve` adds the address and the number of workers.

Threads wait for clients, for the disk and for their turn; few of them work at a time, so there may be many.
"""

from threading import Event, Thread

from gunicorn.http.message import Request
from gunicorn.workers.gthread import ThreadWorker

from application.context import EXTENSION
from bioseg.database.engine import migrate_patiently
from bioseg.platform import Platform, warm_up

KEPT_BODY = 2**20

worker_class = "application.gunicorn_worker.ImpatientWorker"
threads = 64
timeout = 60
graceful_timeout = 30
keepalive = 5
limit_request_line = 4094
limit_request_fields = 64
control_socket_disable = True
# Its heartbeat is a file that it touches at every event: on a disk it waits while the database's log is written.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn makes a file of its own there, and unlinks it
# The application writes one line per request itself.
accesslog = None
logger_class = "application.discreet_logs.WithoutAccessLog"
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "application.json_lines.JsonLines"}},
    "filters": {
        "slow": {"()": "application.gunicorn_worker.WithoutTracebacksOfSlowClients"},
        "discreet": {"()": "application.discreet_logs.Discreet"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "filters": ["slow", "discreet"],
            "stream": "ext://sys.stderr",
        }
    },
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        "alembic": {"level": "WARNING"},
    },
}


def pre_request(worker: ThreadWorker, req: Request) -> None:  # noqa: ARG001 - the signature is gunicorn's
    """Close the connection after a large body: one that was refused unread would have to be read away to keep it."""
    for name, value in req.headers:
        if name == "CONTENT-LENGTH" and int(value) > KEPT_BODY:
            req.force_close()


def post_worker_init(worker: ThreadWorker) -> None:
    """Wait, load the networks and follow the ledger beside the requests: probes are answered meanwhile."""
    Thread(target=serve, args=(worker.wsgi.extensions[EXTENSION],), daemon=True).start()


def serve(platform: Platform) -> None:
    """Wait for the database, then have the arms of all studies ready, for as long as the process lives."""
    never = Event()
    migrate_patiently(platform.settings.resolved_database_url, never)
    warm_up(platform)
    platform.arms.follow(never, platform.settings.sync_seconds)

# ruff: noqa: N999
"""How gunicorn runs the application; `bioseg serve` adds the address and the number of workers.

Threads wait for slow uploads and slow readers while one inference runs. Probes answer as long as one of the threads
is free: as many slow bodies at once as a worker has threads occupy it.
"""

worker_class = "gthread"
threads = 8
timeout = 60
graceful_timeout = 30
keepalive = 5
limit_request_line = 4094
limit_request_fields = 64
# The application writes one line per request itself.
accesslog = None
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
}

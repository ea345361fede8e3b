"""What machines ask: whether the process is alive, and whether it can serve."""

import logging
from http import HTTPStatus

from apiflask import APIBlueprint

from application import context, schemas
from application.openapi import documented
from bioseg.platform import ready

log = logging.getLogger(__name__)

probes = APIBlueprint("probes", __name__, tag="Probes")


@probes.get("/livez")
@probes.output(schemas.Alive)
def livez() -> schemas.Alive:
    """Tell that the process answers."""
    return schemas.Alive(status="ok")


@probes.get("/readyz")
@probes.output(schemas.Ready)
@probes.doc(responses=documented(503, "application/json", "Ready"))
def readyz() -> tuple[schemas.Ready, int]:
    """Tell whether the database and the model of each study can be used.

    Each model is run on the sample of its bundle, if that was not done in the last seconds. The log has the reasons.
    """
    reasons = ready(context.platform())
    for name, reason in reasons.items():
        if reason != "ok":
            log.error("not ready: %s: %s", name, reason)
    checks = {name: "ok" if reason == "ok" else "failing" for name, reason in reasons.items()}
    good = set(checks.values()) == {"ok"}
    answer = schemas.Ready.model_validate({"status": "ok" if good else "failing", "checks": checks})
    return answer, HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE

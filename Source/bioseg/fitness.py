"""What a version has to show before the aliases of its study move: it can serve, and the offline gate lets it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bioseg import studies
from bioseg.bundles import Contract
from bioseg.database import engine, gate_reports
from bioseg.errors import ArmFailed, BundleError, NotProven, RuntimeUnavailable, UnknownVersion, VersionNotFound
from bioseg.inference.confined_runtime import Confined
from bioseg.platform import Platform
from bioseg.registry.standing import Standing
from bioseg.study import Study


def require_trial(platform: Platform, study: str, version: str) -> None:
    """See that a version can be tried, in a process of its own: it may crash or hang.

    Raises
    ------
    VersionNotFound, ArmFailed
        When it cannot.
    BundleError, RuntimeUnavailable
        When the champion, beside which it would serve, cannot be used itself.
    """
    with _refused(study, version):
        _require_fit(studies.get(study), platform.registry.open(study, version).contract)
    predict = platform.runtime.trial(study, version, platform.runtime.champion(study)).predict
    if isinstance(predict, Confined):
        predict.close()  # the processes that serve have their own


def require_champion(platform: Platform, study: str, version: str) -> None:
    """See that a version can serve; raises VersionNotFound and ArmFailed."""
    with _refused(study, version):
        _require_fit(studies.get(study), platform.runtime.version(study, version).contract)


@contextmanager
def _refused(study: str, version: str) -> Iterator[None]:
    """Blame the version that the caller named, not the installation."""
    try:
        yield
    except UnknownVersion as error:
        raise VersionNotFound(str(error)) from error
    except (BundleError, RuntimeUnavailable) as error:
        raise ArmFailed(f"{study} {version} cannot serve: {error}") from error


def _require_fit(study: Study, contract: Contract) -> None:
    """See that a network does what its study is there for; raises BundleError."""
    if contract.task != study.task:
        raise BundleError(f"it does {contract.task}, and the study {study.task}")
    if contract.task == "classification" and set(contract.classes) != set(study.classes):
        different = ", ".join(sorted(set(contract.classes) ^ set(study.classes)))
        raise BundleError(f"its classes and those of the study differ in {different}")


def passed_gate(platform: Platform, before: Standing, version: str) -> dict[str, Any]:
    """Evidence that the offline gate lets a version take the champion's place; raises NotProven."""
    if before.champion is None:
        return {}
    with engine.reading(platform.sessions) as session:
        report = gate_reports.latest(session, before.study, before.champion, version)
    who, command = f"{before.study} {version}", f"`bioseg gate {before.study} --candidate {version}`"
    if report is None:
        raise NotProven(f"{who} was never judged against the champion {before.champion}; run {command}")
    if report.verdict != "promote":
        raise NotProven(
            f"the offline gate says {report.verdict} of {who} against {before.champion}, not promote; "
            "train a better version"
        )
    if json.loads(report.report)["candidate"]["bundle"] != platform.registry.open(before.study, version).digest:
        raise NotProven(f"{who} holds other files than those that the offline gate has judged; run {command}")
    return {"gate": {"id": report.id, "sha256": gate_reports.sha256_of(report), "verdict": report.verdict}}

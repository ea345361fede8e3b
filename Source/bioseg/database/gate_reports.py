"""What the offline gate found, kept for the promotions that rest on it. The caller owns the session."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bioseg.database.tables import GateReport


def add(
    session: Session, study: str, champion: str, candidate: str, verdict: str, report: Mapping[str, Any]
) -> GateReport:
    """Keep a report; its `id` is set afterwards."""
    row = GateReport(
        study=study,
        champion=champion,
        candidate=candidate,
        verdict=verdict,
        created_at=datetime.now(UTC),
        report=json.dumps(report, sort_keys=True),
    )
    session.add(row)
    session.flush()
    return row


def latest(session: Session, study: str, champion: str, candidate: str) -> GateReport | None:
    """The last report on a candidate against this champion, or None."""
    reports = select(GateReport).filter_by(study=study, champion=champion, candidate=candidate)
    return session.scalar(reports.order_by(GateReport.id.desc()).limit(1))


def sha256_of(row: GateReport) -> str:
    """Sha256 over what a report says and of whom, 64 hexadecimal digits."""
    told = [row.study, row.champion, row.candidate, row.verdict, row.report]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()

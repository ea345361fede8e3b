"""Reports of the gate in the database, where promotions find them."""

from sqlalchemy.orm import sessionmaker

from bioseg.database import engine, gate_reports
from bioseg.gate.report import GateReport
from bioseg.settings import Settings


def keep(settings: Settings, report: GateReport) -> int:
    """Keep a report; gives its id. The database is made, or brought up to date, when it has to be."""
    url = settings.resolved_database_url
    engine.migrate(url)
    connected = engine.connect(url)
    versions = (report.champion.version, report.candidate.version)
    with sessionmaker(connected).begin() as session:
        number = gate_reports.add(session, report.study, *versions, report.verdict.verdict, report.as_json()).id
    connected.dispose()
    return number

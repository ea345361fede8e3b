"""Where each study stands: the last row of its ledger, or before the first one the champion that ships."""

from sqlalchemy import inspect
from sqlalchemy.orm import Session, sessionmaker

from bioseg.database import engine, location
from bioseg.database.tables import Decision
from bioseg.registry import Registry, ledger
from bioseg.registry.standing import Aliases, Standing, shipped


def kept(registry: Registry, sessions: sessionmaker[Session]) -> Aliases:
    """How studies stand by the ledger in a database; each call reads it."""
    before = shipped(registry)

    def standing(study: str) -> Standing:
        with engine.reading(sessions) as session:
            return ledger.standing(session, study) or before(study)

    return standing


def looked_up(registry: Registry, url: str) -> Aliases:
    """How studies stand by the ledger of a database, where there is one: none is created to look."""

    def standing(study: str) -> Standing:
        if location.exists(url):
            sessions = sessionmaker(engine.connect(url))
            try:
                if inspect(sessions.kw["bind"]).has_table(Decision.__tablename__):
                    return kept(registry, sessions)(study)
            finally:
                sessions.kw["bind"].dispose()
        return shipped(registry)(study)

    return standing

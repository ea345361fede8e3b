"""Whether a database is there at all: asked before SQLAlchemy is loaded, which takes longer than the answer."""

from pathlib import Path
from urllib.parse import unquote


def exists(url: str) -> bool:
    """Tell whether a database is there to connect to: a SQLite file would be created by that; others answer or not.

    >>> exists("sqlite:////nowhere/bioseg.db"), exists("postgresql://localhost/bioseg")
    (False, True)
    """
    scheme, _, rest = url.partition("://")
    return scheme.split("+")[0] != "sqlite" or Path(unquote(rest.removeprefix("/").split("?")[0])).is_file()

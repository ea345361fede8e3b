"""The studies: one file each, holding one `STUDY`. A new file here is a new study; nothing else is edited."""

import importlib
import pkgutil
from functools import cache

from bioseg.errors import UnknownStudy
from bioseg.study import Study


@cache
def all_studies() -> dict[str, Study]:
    """Every study by name."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {module.STUDY.name: module.STUDY for module in modules}


def get(name: str) -> Study:
    """Look a study up.

    Raises
    ------
    UnknownStudy
        Naming the studies there are.
    """
    try:
        return all_studies()[name]
    except KeyError:
        raise UnknownStudy(f"no study {name!r}; there are: {', '.join(sorted(all_studies()))}") from None

"""The studies: one file each, holding one `STUDY`. A new file here is a new study; nothing else is edited."""

import importlib
import pkgutil
from functools import cache

from bioseg.datasets import Dataset
from bioseg.errors import InvalidInput, UnknownStudy
from bioseg.study import Study

DEFAULT = "membrane"
"""The lead study: what a call, a command or the page means that names none."""


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


def datasets() -> dict[str, Dataset]:
    """Every dataset that a study uses, by name in alphabetical order."""
    found = {dataset.name: dataset for study in all_studies().values() for dataset in study.datasets}
    return dict(sorted(found.items()))


def dataset(name: str) -> Dataset:
    """Look a dataset up.

    Raises
    ------
    InvalidInput
        Naming the datasets there are.
    """
    try:
        return datasets()[name]
    except KeyError:
        raise InvalidInput(f"no dataset {name!r}; there are: {', '.join(datasets())}") from None

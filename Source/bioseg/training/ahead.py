"""Making the views of the next step while a network learns from those of this one."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(endless: Iterator[Item]) -> Generator[Item, None, None]:
    """Give the items of an iterator without end, each made in a thread while the one before is in use."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        coming = beside.submit(next, endless)
        while True:
            made = coming.result()
            coming = beside.submit(next, endless)
            yield made

"""A mirror in memory, for tests."""

from collections.abc import Callable, Mapping

from bioseg.errors import StoreUnavailable


class MemoryMirror:
    """A mirror that keeps files in `files`, by `folder/name`.

    While `failure` is set, everything raises it. `meanwhile` is called once, after the files of the next `keep` were
    written and before it returns: what somebody else does at that moment.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.failure: StoreUnavailable | None = None
        self.meanwhile: Callable[[], None] | None = None

    def keep(self, folder: str, files: Mapping[str, bytes]) -> str:
        """Keep files."""
        self._fail()
        self.files |= {f"{folder}/{name}": bytes(data) for name, data in files.items()}
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return f"memory:/{folder}"

    def remove(self, folder: str) -> None:
        """Forget a folder; a missing one is fine."""
        self._fail()
        self.files = {path: data for path, data in self.files.items() if not path.startswith(f"{folder}/")}

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

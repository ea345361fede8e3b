"""What every mirror must do. A test class inherits these tests and gives the fixtures `mirror` and `stored`."""

# ruff: noqa: S101 - these are tests

from collections.abc import Callable

import pytest

from bioseg.storage import Mirror

FOLDER = "membrane/2026-11-21/0123"
Stored = Callable[[], dict[str, bytes]]


class MirrorContract:
    """The tests. `mirror` is an empty one; `stored()` gives all that it holds, by `folder/name`."""

    def test_what_is_kept_is_stored_under_its_name(self, mirror: Mirror, stored: Stored) -> None:
        """People find the files."""
        mirror.keep(FOLDER, {"image.png": b"image", "request.json": b"{}"})
        assert {f"{FOLDER}/image.png": b"image", f"{FOLDER}/request.json": b"{}"} == stored()

    @pytest.mark.parametrize("size", [0, 1, 4 * 2**20, 4 * 2**20 + 1, 9 * 2**20], ids=lambda size: f"{size} bytes")
    def test_a_file_of_any_size_arrives_whole(self, mirror: Mirror, stored: Stored, size: int) -> None:
        """Large pictures are sent in pieces."""
        data = bytes(range(251)) * (size // 251 + 1)
        mirror.keep(FOLDER, {"image.png": data[:size]})
        assert {f"{FOLDER}/image.png": data[:size]} == stored()

    def test_the_path_is_an_address_of_the_folder(self, mirror: Mirror) -> None:
        """It is shown to people."""
        path = mirror.keep(FOLDER, {"image.png": b"image"})
        assert (":/" in path, path.endswith(f"/{FOLDER}")) == (True, True)

    def test_a_repetition_changes_nothing(self, mirror: Mirror, stored: Stored) -> None:
        """No second copy appears beside the first."""
        first, second = (mirror.keep(FOLDER, {"image.png": b"image"}) for _ in range(2))
        assert (first, {f"{FOLDER}/image.png": b"image"}) == (second, stored())

    def test_another_content_replaces_the_former(self, mirror: Mirror, stored: Stored) -> None:
        """A corrected mask is the only one."""
        for mask in (b"mask", b"better mask"):
            mirror.keep(FOLDER, {"mask.png": mask})
        assert {f"{FOLDER}/mask.png": b"better mask"} == stored()

    def test_a_removed_folder_is_empty(self, mirror: Mirror, stored: Stored) -> None:
        """A deleted upload leaves nothing behind."""
        mirror.keep(FOLDER, {"image.png": b"image", "mask.png": b"mask"})
        mirror.remove(FOLDER)
        assert stored() == {}

    def test_removing_a_missing_folder_is_fine(self, mirror: Mirror, stored: Stored) -> None:
        """A repeated removal ends like the first."""
        mirror.remove(FOLDER)
        assert stored() == {}

    def test_only_that_folder_is_removed(self, mirror: Mirror, stored: Stored) -> None:
        """A folder whose name begins alike stays."""
        for folder in (FOLDER, f"{FOLDER}4"):
            mirror.keep(folder, {"image.png": b"image"})
        mirror.remove(FOLDER)
        assert {f"{FOLDER}4/image.png": b"image"} == stored()

    def test_a_removed_folder_can_be_kept_again(self, mirror: Mirror, stored: Stored) -> None:
        """Removal is not for ever."""
        mirror.keep(FOLDER, {"image.png": b"image"})
        mirror.remove(FOLDER)
        mirror.keep(FOLDER, {"image.png": b"image"})
        assert {f"{FOLDER}/image.png": b"image"} == stored()

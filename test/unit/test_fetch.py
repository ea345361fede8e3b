"""Fetching against a local server: what is verified, downloaded, refused."""

import hashlib
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bioseg.datasets.fetch import Entry, RemoteFile, fetch, fetch_entry, find, known
from bioseg.errors import DatasetError

CONTENTS = {"Data/Train/image/0.png": b"zero", "Data/Train/my label/0.png": b"label of zero"}
PATHS = {"Data/Train/image/0.png": "tiny/image/00.png", "Data/Train/my label/0.png": "tiny/label/00.png"}
README = Path(__file__).parents[2] / "data" / "README.md"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def published(tmp_path):
    root = tmp_path / "published"
    for source, contents in CONTENTS.items():
        file = root / "owner/repository/abc1234" / source
        file.parent.mkdir(parents=True)
        file.write_bytes(contents)
    return root


@pytest.fixture
def host(published):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(published)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def entry():
    files = tuple(
        RemoteFile(PATHS[source], hashlib.sha256(contents).hexdigest(), len(contents), source)
        for source, contents in CONTENTS.items()
    )
    return Entry("tiny", "tiny", "t", "s", "c", "l", "tiny/image", "", "owner/repository", "abc1234", files)


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


def test_missing_files_are_downloaded_to_our_layout(entry, data_dir, host):
    report = fetch_entry(entry, data_dir, host=host)
    assert (report.verified, report.downloaded, report.unverified) == (0, 2, 0)
    assert (data_dir / "tiny/image/00.png").read_bytes() == b"zero"


def test_source_paths_with_spaces_are_quoted(entry, data_dir, host):
    fetch_entry(entry, data_dir, host=host)
    assert (data_dir / "tiny/label/00.png").read_bytes() == b"label of zero"


def test_present_files_are_verified_without_a_server(entry, data_dir, host):
    fetch_entry(entry, data_dir, host=host)
    report = fetch_entry(entry, data_dir, host="http://127.0.0.1:9")
    assert (report.verified, report.downloaded) == (2, 0)


def test_complete_copy_is_not_written_to(entry, data_dir, host):
    fetch_entry(entry, data_dir, host=host)
    before = {file: file.stat().st_mtime_ns for file in data_dir.rglob("*")}
    fetch_entry(entry, data_dir, host=host)
    assert {file: file.stat().st_mtime_ns for file in data_dir.rglob("*")} == before


def test_altered_file_is_refused_and_kept(entry, data_dir, host):
    fetch_entry(entry, data_dir, host=host)
    altered = data_dir / "tiny/image/00.png"
    altered.write_bytes(b"mine")
    with pytest.raises(DatasetError, match=r"00\.png differs from the published file.*move it away"):
        fetch_entry(entry, data_dir, host=host)
    assert altered.read_bytes() == b"mine"


def test_download_with_other_contents_is_refused_and_not_kept(entry, data_dir, host, published):
    (published / "owner/repository/abc1234/Data/Train/image/0.png").write_bytes(b"forged")
    with pytest.raises(DatasetError, match="other contents than expected"):
        fetch_entry(entry, data_dir, host=host)
    assert not (data_dir / "tiny/image/00.png").exists()


def test_file_gone_from_the_server_names_address_and_remedy(entry, data_dir, host, published):
    (published / "owner/repository/abc1234/Data/Train/image/0.png").unlink()
    with pytest.raises(DatasetError, match=r"cannot download http.*abc1234/Data/Train/image/0\.png.*try again"):
        fetch_entry(entry, data_dir, host=host)


def test_unreachable_server_is_a_dataset_error(entry, data_dir):
    with pytest.raises(DatasetError, match="check the connection"):
        fetch_entry(entry, data_dir, host="http://127.0.0.1:9")


def test_file_in_place_of_a_folder_is_a_dataset_error(entry, data_dir, host):
    data_dir.mkdir()
    (data_dir / "tiny").write_bytes(b"")
    with pytest.raises(DatasetError, match=re.escape(str(data_dir / "tiny"))):
        fetch_entry(entry, data_dir, host=host)


def test_progress_counts_every_file(entry, data_dir, host):
    seen = []
    fetch_entry(entry, data_dir, progress=lambda done, total: seen.append((done, total)), host=host)
    assert seen == [(1, 2), (2, 2)]


def test_unknown_name_lists_the_known_ones(data_dir):
    with pytest.raises(DatasetError, match="unknown dataset 'isbi': known are isbi2012, em_medulla"):
        fetch("isbi", data_dir)


def test_manual_set_that_is_missing_answers_with_the_steps(data_dir):
    with pytest.raises(DatasetError, match=r"skin_isic2018 has to be put into .*by hand.*task 1.*Layout: .*Licence: "):
        fetch("skin_isic2018", data_dir)


def test_manual_set_that_is_there_is_counted_as_unverified(data_dir):
    (data_dir / "brain_mri/yes").mkdir(parents=True)
    (data_dir / "brain_mri/yes/Y1.jpg").write_bytes(b"")
    report = fetch("brain_mri", data_dir)
    assert (report.verified, report.unverified, report.folder) == (0, 1, data_dir / "brain_mri")


def test_every_entry_is_automatic_or_has_steps():
    assert [entry.name for entry in known() if entry.automatic == bool(entry.steps)] == []


def test_isbi_is_automatic_with_all_its_files():
    paths = [file.path for file in find("isbi2012").files]
    assert sorted(Path(path).parent.as_posix() for path in paths) == sorted(
        ["isbi2012/test/image"] * 30 + ["isbi2012/train/image"] * 25 + ["isbi2012/train/label"] * 25
    )
    assert len(set(paths)) == 80


def test_every_hash_is_a_sha256():
    hashes = [file.sha256 for entry in known() for file in entry.files]
    assert [value for value in hashes if not re.fullmatch("[0-9a-f]{64}", value)] == []


@pytest.mark.parametrize("entry", known(), ids=lambda entry: entry.name)
def test_data_readme_describes_the_set(entry):
    page = README.read_text(encoding="utf-8")
    told = (f"### `{entry.name}`", entry.source, entry.layout, entry.citation, entry.licence, entry.steps)
    assert [text for text in told if text not in page] == []

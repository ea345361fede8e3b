"""Fetching against a local server: what is verified, downloaded, refused."""

import hashlib
import json
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bioseg import studies
from bioseg.datasets import Dataset
from bioseg.datasets.fetch import fetch, read
from bioseg.errors import DatasetError, InvalidInput

CONTENTS = {"Data/Train/image/0.png": b"zero", "Data/Train/my label/0.png": b"label of zero"}
PATHS = {"Data/Train/image/0.png": "tiny/image/00.png", "Data/Train/my label/0.png": "tiny/label/00.png"}
README = Path(__file__).parents[2] / "data" / "README.md"
KNOWN = tuple(studies.datasets().values())


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
def dataset(tmp_path):
    files = [
        {"path": PATHS[source], "sha256": hashlib.sha256(contents).hexdigest(), "source": source}
        for source, contents in CONTENTS.items()
    ]
    published = tmp_path / "tiny.json"
    published.write_text(json.dumps({"repository": "owner/repository", "commit": "abc1234", "files": files}))
    return Dataset("tiny", "t", "c", "l", "s", "tiny/image", published=published)


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


def test_missing_files_are_downloaded_to_our_layout(dataset, data_dir, host):
    report = fetch(dataset, data_dir, host=host)
    assert (report.verified, report.downloaded, report.unverified) == (0, 2, 0)
    assert (data_dir / "tiny/image/00.png").read_bytes() == b"zero"


def test_source_paths_with_spaces_are_quoted(dataset, data_dir, host):
    fetch(dataset, data_dir, host=host)
    assert (data_dir / "tiny/label/00.png").read_bytes() == b"label of zero"


def test_present_files_are_verified_without_a_server(dataset, data_dir, host):
    fetch(dataset, data_dir, host=host)
    report = fetch(dataset, data_dir, host="http://127.0.0.1:9")
    assert (report.verified, report.downloaded) == (2, 0)


def test_complete_copy_is_not_written_to(dataset, data_dir, host):
    fetch(dataset, data_dir, host=host)
    before = {file: file.stat().st_mtime_ns for file in data_dir.rglob("*")}
    fetch(dataset, data_dir, host=host)
    assert {file: file.stat().st_mtime_ns for file in data_dir.rglob("*")} == before


def test_altered_file_is_refused_and_kept(dataset, data_dir, host):
    fetch(dataset, data_dir, host=host)
    altered = data_dir / "tiny/image/00.png"
    altered.write_bytes(b"mine")
    with pytest.raises(DatasetError, match=r"00\.png differs from the published file.*move it away"):
        fetch(dataset, data_dir, host=host)
    assert altered.read_bytes() == b"mine"


def test_download_with_other_contents_is_refused_and_not_kept(dataset, data_dir, host, published):
    (published / "owner/repository/abc1234/Data/Train/image/0.png").write_bytes(b"forged")
    with pytest.raises(DatasetError, match="other contents than expected"):
        fetch(dataset, data_dir, host=host)
    assert not (data_dir / "tiny/image/00.png").exists()


def test_file_gone_from_the_server_names_address_and_remedy(dataset, data_dir, host, published):
    (published / "owner/repository/abc1234/Data/Train/image/0.png").unlink()
    with pytest.raises(DatasetError, match=r"cannot download http.*abc1234/Data/Train/image/0\.png.*try again"):
        fetch(dataset, data_dir, host=host)


def test_unreachable_server_is_a_dataset_error(dataset, data_dir):
    with pytest.raises(DatasetError, match="check the connection"):
        fetch(dataset, data_dir, host="http://127.0.0.1:9")


def test_file_in_place_of_a_folder_is_a_dataset_error(dataset, data_dir, host):
    data_dir.mkdir()
    (data_dir / "tiny").write_bytes(b"")
    with pytest.raises(DatasetError, match=re.escape(str(data_dir / "tiny"))):
        fetch(dataset, data_dir, host=host)


def test_progress_counts_every_file(dataset, data_dir, host):
    seen = []
    fetch(dataset, data_dir, progress=lambda done, total: seen.append((done, total)), host=host)
    assert seen == [(1, 2), (2, 2)]


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(InvalidInput, match=r"no dataset 'isbi'; there are: .*, isbi2012, "):
        studies.dataset("isbi")


def test_manual_set_that_is_missing_answers_with_the_steps(data_dir):
    with pytest.raises(DatasetError, match=r"skin_isic2018 has to be put into .*by hand.*task 1.*Layout: .*Licence: "):
        fetch(studies.dataset("skin_isic2018"), data_dir)


def test_manual_set_that_is_there_is_counted_as_unverified(data_dir):
    (data_dir / "brain_mri/yes").mkdir(parents=True)
    (data_dir / "brain_mri/yes/Y1.jpg").write_bytes(b"")
    report = fetch(studies.dataset("brain_mri"), data_dir)
    assert (report.verified, report.unverified, report.folder) == (0, 1, data_dir / "brain_mri")


def test_every_set_is_automatic_or_has_steps():
    assert [dataset.name for dataset in KNOWN if dataset.automatic == bool(dataset.steps)] == []


def test_every_set_says_whose_it_is_and_where_from():
    told = ("title", "citation", "licence", "source", "layout")
    assert [(each.name, what) for each in KNOWN for what in told if not getattr(each, what)] == []


def test_isbi_is_automatic_with_all_its_files():
    paths = [file.path for file in read(studies.dataset("isbi2012").published).files]
    assert sorted(Path(path).parent.as_posix() for path in paths) == sorted(
        ["isbi2012/test/image"] * 30 + ["isbi2012/train/image"] * 25 + ["isbi2012/train/label"] * 25
    )
    assert len(set(paths)) == 80


def test_every_hash_is_a_sha256():
    hashes = [file.sha256 for each in KNOWN if each.published for file in read(each.published).files]
    assert [value for value in hashes if not re.fullmatch("[0-9a-f]{64}", value)] == []


@pytest.mark.parametrize("dataset", KNOWN, ids=lambda dataset: dataset.name)
def test_data_readme_describes_the_set(dataset):
    page = README.read_text(encoding="utf-8")
    told = (
        *(f"### `{dataset.name}`", dataset.source, dataset.layout, dataset.citation, dataset.licence),
        dataset.steps,
    )
    assert [text for text in told if text not in page] == []

"""What every study has to tell, and what listing them may cost."""

import json
import subprocess
import sys

import pytest

from bioseg import studies
from bioseg.study import NOTICE
from bioseg.testing import twins

FRAMEWORKS = {"keras", "torch", "torchvision", "tensorflow", "openvino", "onnx", "mlflow"}
SLOW = {"scipy", "skimage", "flask", "sqlalchemy"}
STUDIES = studies.all_studies()


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_study_says_whose_images_it_uses_and_where_it_errs(study):
    assert (True, True, True) == (bool(study.datasets), bool(study.known_failures), NOTICE in study.notice)


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_study_names_the_source_of_each_of_its_samples(study, every_twin):
    splits = study.splits(every_twin)
    sources = {sample.source.split("/")[0] for part in (splits.fit, splits.choose, splits.score) for sample in part}
    assert set() == sources - {dataset.name for dataset in study.datasets}


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_study_accepts_kinds_that_its_screen_tells(study):
    told = STUDIES[study.screened_by].classes if study.screened_by else ()
    assert (set(), bool(told)) == (set(study.accepts) - set(told), bool(study.accepts))


def test_listing_the_studies_loads_no_framework_and_no_database_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("BIOSEG_STATE_DIR", str(tmp_path))
    code = (
        "import json, sys\nsys.argv = ['bioseg', 'studies', '--json']\nfrom bioseg.cli import main\n"
        "try: main()\nfinally: print(json.dumps([name for name in sys.modules if '.' not in name]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert list(STUDIES) == [study["name"] for study in json.loads(done.stdout)]
    assert set() == (FRAMEWORKS | SLOW) & set(json.loads(done.stderr.splitlines()[-1]))


@pytest.fixture(scope="module")
def every_twin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twins")
    twins.write_all(folder)
    return folder

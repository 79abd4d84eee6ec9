"""No stage prints or writes a secret: one is planted in each variable of the environment that is read."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from descent import paths
from tests.support import stage
from tests.support.images import write_arrays
from tests.support.small_params import ROOT, read_yaml, write_params, write_yaml

SECRET = "planted-in-the-environment"
NOBODY = "127.0.0.1:9"
"""Nobody listens at the port of the protocol `discard`."""

PLANTED = {
    "DATA_SOURCE": f"https://user:{SECRET}@{NOBODY}/mnist/?key={SECRET}",
    "PIP_INDEX_URL": f"https://user:{SECRET}@{NOBODY}/simple/",
    "PIP_PROXY": f"user:{SECRET}@{NOBODY}",
    "DASK_SCHEDULER_ADDRESS": f"tcp://user:{SECRET}@{NOBODY}",
}
NOT_SECRET = {
    *("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("UV_CACHE_DIR", "XDG_CACHE_HOME"),
}
"""Variables that `descent` and the stages read and that hold no secret."""

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.fixture
def project(tmp_path, idx_folder, dataset):
    write_params(tmp_path, idx_folder)
    write_arrays(tmp_path / paths.ARRAYS, dataset)
    return tmp_path


def test_every_variable_that_is_read_is_planted_or_not_secret():
    modules = [*(ROOT / "descent").rglob("*.py"), *(ROOT / f"stages/{name}.py" for name in PIPELINE)]
    sources = [path.read_text() for path in modules if path.exists()]
    read = {name for source in sources for name in re.findall(r'environ(?:ment)?\.get\("([A-Z_]+)"', source)}
    assert {"DATA_SOURCE", "DASK_SCHEDULER_ADDRESS"} <= read
    assert read <= PLANTED.keys() | NOT_SECRET


def without_secret(folder: Path, text: str) -> bool:
    written = [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    return SECRET not in text and not written


def test_download_shows_no_secret(project):
    params = read_yaml(project / "params.yaml") | {"data": "mnist"}
    write_yaml(project / "params.yaml", params)
    code = (
        "from descent.datasets import KNOWN; KNOWN['mnist'] = KNOWN['mnist']._replace(mirrors=()); "
        "from stages.download import main; main()"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(project), "PYTHONPATH": str(ROOT)} | PLANTED
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr.count(f"https://{NOBODY}/mnist/: no ") > 1 and f"https://{NOBODY}/simple/" in done.stderr
    )
    assert without_secret(project, done.stdout + done.stderr)


@pytest.mark.parametrize("arguments", [("train", "baseline"), ("sweep",)], ids=lambda arguments: arguments[0])
def test_training_shows_no_secret_of_a_cluster(project, arguments):
    done = stage.run(project, *arguments, **PLANTED)
    assert done.returncode == 1
    assert f"no Dask scheduler at tcp://{NOBODY}: " in done.stderr
    assert without_secret(project, done.stdout + done.stderr)

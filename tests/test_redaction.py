"""No secret reaches a terminal or a file: one is planted in each variable of the environment that is read."""

import re
import subprocess
from pathlib import Path

import pytest

from stages.core.redaction import redacted, shown
from tests import mirrored
from tests.project import ROOT

SECRET = "planted-in-the-environment"
NOBODY = "127.0.0.1:9"
"""Nobody listens at the port of the protocol `discard`."""

PLANTED = {
    "MNIST_SOURCE": f"https://user:{SECRET}@{NOBODY}/mnist/?key={SECRET}",
    "PIP_INDEX_URL": f"https://user:{SECRET}@{NOBODY}/simple/",
    "MLFLOW_TRACKING_URI": f"http://user:{SECRET}@{NOBODY}",
    "MLFLOW_TRACKING_PASSWORD": SECRET,
    "MLFLOW_TRACKING_TOKEN": SECRET,
    "DASK_SCHEDULER_ADDRESS": f"tcp://user:{SECRET}@{NOBODY}",
}
HOLDING_NONE = {
    "DVC_EXP_BASELINE_REV",
    "DVC_EXP_NAME",
    "DVC_ROOT",
    "DVC_STAGE",
    "IPYTHONDIR",
    "MLFLOW_PORT",
}
COMMANDS = {
    "download": "from stages.core.data import sources; sources.MIRRORS = (); "
    "from stages.download import main; main()",
    "train": "import sys; sys.argv[1:] = ['baseline']; from stages.train import main; main()",
    "sweep": "from stages.sweep import main; main()",
    "sync": "from stages.sync import main; main()",
    "trace": "import sys; sys.argv[1:] = ['params.yaml']; from stages.trace import main; main()",
    "ui": "from stages.ui import main; main()",
}


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@host:8443/mnist/",
        "https://secret@host:8443/mnist/",
        "https://host:8443/mnist/?token=secret",
        "https://host:8443/mnist/#secret",
        "https://user:secret/secret@host:8443/mnist/",
        "https://user:secret#secret@host:8443/mnist/",
        "https://user:secret?secret@secret@host:8443/mnist/",
    ],
)
def test_no_secret_in_a_url_is_shown_nor_of_one_in_a_text(url):
    assert shown(url) == "https://host:8443/mnist/"
    told = redacted(f"at {url} nobody answers")
    assert "secret" not in told
    assert told.startswith("at https://") and told.endswith(" nobody answers")


def test_a_password_is_not_shown_wherever_it_turns_up(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    assert redacted(f"refused: {SECRET}!") == "refused: ***!"


def test_every_variable_that_is_read_is_planted_or_holds_no_secret():
    sources = [path.read_text() for path in (ROOT / "stages").rglob("*.py")]
    read = {name for source in sources for name in re.findall(r'environ(?:ment)?\.get\("([A-Z_]+)"', source)}
    assert "MNIST_SOURCE" in read
    assert read - HOLDING_NONE == read & PLANTED.keys()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return mirrored.trained(tmp_path_factory.mktemp("planted") / "project")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_prints_or_writes_a_secret(project, command):
    done = subprocess.run(
        ["python", "-c", COMMANDS[command]],
        cwd=project.folder,
        env=project.environment | PLANTED,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert NOBODY in done.stdout, "it has not come as far as to tell of an address"
    assert SECRET not in done.stdout
    assert [path for path in files(project.folder) if SECRET.encode() in path.read_bytes()] == []


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]

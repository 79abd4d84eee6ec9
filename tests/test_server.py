"""The same code against a real `mlflow server` over a real PostgreSQL, artifacts handed through it."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import requests
from mlflow import MlflowClient

from stages.core.mirror import accounts, postgres
from stages.core.mirror.store import EXPERIMENT
from tests import mirrored

try:
    postgres.programs()
    WITHOUT = ""
except postgres.Absent as absent:
    WITHOUT = str(absent)

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT),
]
MODELS = mirrored.MODELS


@pytest.fixture(scope="module")
def project():
    """A trained repository whose runs are in its own store, where PostgreSQL's account may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        project = mirrored.trained(Path(folder) / "project")
        project.run("python", "-m", "stages.sync")
        yield project


@pytest.fixture(scope="module")
def address(project):
    """`make server`, begun and answering; it has its own folder in the repository."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = project.environment | {"MLFLOW_PORT": str(port)}
    with begun(project, environment) as server, pytest.MonkeyPatch.context() as patch:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 180
        while not answers(url):
            assert server.poll() is None and time.monotonic() < end
            time.sleep(0.5)
        patch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", password(project))
        yield url
        server.terminate()
        assert server.wait(60) == 128 + 15


def test_after_a_sigkill_the_next_start_serves_again():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        project = mirrored.begin(Path(folder) / "project")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        url, environment = f"http://127.0.0.1:{port}", project.environment | {"MLFLOW_PORT": str(port)}
        for how, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 128 + signal.SIGTERM)):
            with begun(project, environment) as server:
                wait(lambda: answers(url) or server.poll() is not None)
                server.send_signal(how)
            assert server.returncode == code, (project.folder / "said.txt").read_text()
            wait(lambda: not answers(url))  # MLflow ends with it


def wait(condition, patience=180):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.5)


def begun(project, environment):
    """`make server` in a process of its own, what it says in said.txt."""
    with open(project.folder / "said.txt", "wb") as said:
        streams = {"stdout": said, "stderr": subprocess.STDOUT, "start_new_session": True}
        command = [sys.executable, "-m", "stages.server"]
        return subprocess.Popen(command, cwd=project.folder, env=environment, **streams)


def password(project) -> str:
    return (project.folder / "mlserver/password").read_text().strip()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def beyond(project, address):
    """The same repository with MLFLOW_TRACKING_URI at the server, after a sync."""
    other = mirrored.Project(project.folder, project.folder)
    names = {name: os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD")}
    other.environment = project.environment | {"MLFLOW_TRACKING_URI": address}
    other.environment |= {f"MLFLOW_TRACKING_{name}": value for name, value in names.items()}
    said = other.run("python", "-m", "stages.sync").stdout
    assert "baseline: replayed" in said and "View run" not in said
    return other


def runs(address, condition=""):
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return client.search_runs([experiment.experiment_id], condition, max_results=1000)


def test_the_password_is_random_and_only_its_owner_may_read_it(project, address):
    path = project.folder / "mlserver/password"
    assert len(password(project)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = (project.folder / "said.txt").read_text()
    assert f"MLFLOW_TRACKING_USERNAME=admin MLFLOW_TRACKING_PASSWORD=\"$(cat '{path}')\"" in said
    assert password(project) not in said


@pytest.mark.parametrize("who", [None, ("admin", "password1234"), ("admin", "admin"), ("mlflow", "mlflow")])
def test_nobody_gets_in_without_the_password(address, who):
    for path in ("/", "/api/2.0/mlflow/experiments/search?max_results=1", "/graphql"):
        assert requests.get(f"{address}{path}", auth=who, timeout=30).status_code == 401, path


def test_with_the_password_the_pages_open(project, address):
    assert requests.get(f"{address}/", auth=("admin", password(project)), timeout=30).ok


def test_it_listens_on_this_machine_alone(address):
    port = int(address.rpartition(":")[2])
    heard = {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }
    assert heard == {"127.0.0.1"}


def test_accounts_without_their_password_are_told_in_a_line(tmp_path):
    (tmp_path / "users.db").touch()
    with pytest.raises(accounts.Lost, match=r"password: is gone; `rm .*users\.db`"):
        accounts.environment(tmp_path)


def test_sync_without_a_password_is_told_in_a_line_that_names_no_secret(beyond):
    wrong = {"MLFLOW_TRACKING_PASSWORD": "guessed-guessed"}
    other = mirrored.Project(beyond.folder, beyond.folder)
    other.environment = beyond.environment | wrong
    (line,) = other.run("python", "-m", "stages.sync", expect=1).stdout.splitlines()
    assert line.startswith("MLflow at http://127.0.0.1:") and "401" in line and "guessed" not in line


def test_sync_moves_a_local_stores_runs_over(project, beyond, address):
    ours, theirs = mirrored.runs(project, "tags.state = 'current'"), runs(address, "tags.state = 'current'")
    assert sorted(run.info.run_name for run in ours) == sorted(run.info.run_name for run in theirs)
    by_name = {run.info.run_name: run.data for run in ours}
    for run in theirs:
        assert run.data.metrics == by_name[run.info.run_name].metrics
        assert run.data.params == by_name[run.info.run_name].params
    assert beyond.run("python", "-m", "stages.sync", "--check").stdout == "MLflow agrees with DVC\n"
    assert beyond.run("python", "-m", "stages.sync").stdout == "MLflow agrees with DVC already\n"


def test_artifacts_go_through_the_server(beyond, address, tmp_path):
    (run,) = runs(address, "tags.model = 'baseline' and attributes.run_name = 'baseline'")
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    copy = MlflowClient(address).download_artifacts(run.info.run_id, "history.csv", str(tmp_path))
    with open(copy, "rb") as theirs, open(beyond.folder / "models/baseline/history.csv", "rb") as ours:
        assert theirs.read() == ours.read()


def test_eight_writers_at_once_lose_nothing(beyond, address):
    before = len(runs(address))
    command = [sys.executable, "-c", WRITER]
    writers = [
        subprocess.Popen(command, cwd=beyond.folder, env=beyond.environment, stderr=-1) for _ in range(8)
    ]
    for writer in writers:
        _, err = writer.communicate()
        assert (writer.returncode, err) == (0, b"")
    written = runs(address, "tags.n = 'yes'")
    assert (len(runs(address)), len(written)) == (before + 40, 40)
    assert all(run.data.metrics == {"x": 99} and run.info.status == "FINISHED" for run in written)


WRITER = """
from stages.core.mirror import runs
from stages.core.mirror.series import Point
from stages.core.mirror.store import open_store
store = open_store()
for _ in range(5):
    run = runs.start(store, "written", {"n": "yes"}, runs.now())
    for epoch in range(0, 100, 10):
        runs.log_points(store, run, [Point("x", float(n), n, runs.now()) for n in range(epoch, epoch + 10)])
    runs.finish(store, run, "FINISHED", "superseded", runs.now())
"""


def test_a_training_is_live_on_the_server(beyond, address):
    beyond.run("dvc", "repro", "-q", "-f", "-s", "train@batch_8")
    (run,) = runs(address, "attributes.run_name = 'batch_8' and tags.state = 'current'")
    assert "replayed" not in run.data.tags
    assert beyond.run("python", "-m", "stages.sync", "--check").stdout == "MLflow agrees with DVC\n"

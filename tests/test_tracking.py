"""Tracking beside a training: what a live run shows, how it ends, and that MLflow's faults reach no stage."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

from stages.core import process
from stages.core.mirror import snapshot, tracking
from stages.core.mirror.runs import replay
from stages.core.mirror.store import EXPERIMENT, open_store
from stages.core.params import read_params
from tests import mirrored, trained

REMEDY = "the results go to disk all the same, and `python -m stages.sync` logs them later"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A trained, committed repository; its database is made, and holds nothing."""
    project = mirrored.trained(tmp_path_factory.mktemp("template") / "project")
    MlflowClient(f"sqlite:///{project.folder}/mlflow.db").search_experiments()
    return project


@pytest.fixture
def project(template, tmp_path, monkeypatch):
    """A copy of the trained repository, entered; nothing of it is in MLflow."""
    copy = mirrored.copied(template, tmp_path / "project")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it; this has it restored
    monkeypatch.chdir(copy.folder)
    return copy


@pytest.fixture
def params(project):
    return read_params()


def train(params, name, write=True):
    """A training of `name` with made-up numbers, live in MLflow, which ends with its files."""
    with tracking.live(params, name) as run:
        for epoch in range(params.train.epochs + 1):
            for seed in params.train.seeds:
                run.epoch(seed, trained.descent(params, name, seed).history[epoch])
        if write:
            trained.write_model(Path(), params, name)
        run.complete(f"models/{name}")


def content(store, run) -> dict:
    """All that MLflow shows of a run but ids, the clock and where it came from."""
    metrics = {
        key: [(point.step, point.value) for point in store.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
    }
    came_from = ("git.", "dvc.stage", "mlflow.source", "replayed", "mlflow.parentRunId", "state")
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith(came_from)}
    datasets = [(entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs]
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "params": run.data.params,
        "metrics": metrics,
        "tags": tags,
        "datasets": sorted(datasets),
        "artifacts": digests(Path(run.info.artifact_uri)),
        "model": [
            digests(Path(model_folder(store, output.model_id))) for output in run.outputs.model_outputs
        ],
    }


def model_folder(store, model_id):
    return store.get_logged_model(model_id).artifact_location


def digests(folder: Path) -> dict[str, str]:
    """The md5 of each file under a folder but MLmodel, which holds ids and the time."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "MLmodel")
    return {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def test_a_live_run_is_to_the_byte_what_a_replay_makes_of_its_files(project, params, capsys):
    train(params, "rate_100", write=False)  # its files are those of dvc.lock
    store, held = open_store(), snapshot.working_tree()
    replay(store, held.record("rate_100"), held.labels(), {}, "current")
    runs = mirrored.runs(project)
    assert capsys.readouterr().err == ""
    assert len(runs) == 2 * 3
    by_name: dict[str, list] = {}
    for run in runs:
        by_name.setdefault(run.info.run_name, []).append(content(store.client, run))
    for name, (replayed, live) in by_name.items():
        assert replayed == live, name
    assert sorted(by_name) == [
        "rate_100 (diverged)",
        "rate_100, seed 0 (diverged)",
        "rate_100, seed 1 (diverged)",
    ]


def test_the_curves_are_there_while_training_goes_on(project, params):
    with tracking.live(params, "baseline") as run:
        run.epoch(0, trained.descent(params, "baseline", 0).history[0])
        found = until(lambda: mirrored.runs(project, "attributes.status = 'RUNNING' and tags.seed = '0'"))
        until(lambda: mirrored.client(project).get_run(found[0].info.run_id).data.metrics.get("train_loss"))
        trained.write_model(Path(), params, "baseline")
        run.complete("models/baseline")


def test_numbers_of_the_same_moment_are_written_together(project, params, monkeypatch):
    written, write = [], tracking.runs.log_points
    monkeypatch.setattr(tracking.runs, "log_points", lambda *args: written.append(args[2]) or write(*args))
    with tracking.live(params, "baseline") as run:
        for epoch in trained.descent(params, "baseline", 0).history:
            run.epoch(0, epoch)
        until(lambda: written)
        trained.write_model(Path(), params, "baseline")
        run.complete("models/baseline")
    assert {point.epoch for point in written[0]} == set(range(params.train.epochs + 1))


def test_nothing_is_opened_before_there_are_numbers(project, params, monkeypatch):
    opened = []
    monkeypatch.setattr(tracking, "open_store", lambda: opened.append("store") or open_store())
    with tracking.live(params, "baseline") as run:
        time.sleep(0.2)
        assert opened == []
        run.epoch(0, trained.descent(params, "baseline", 0).history[0])
        until(lambda: opened)
        trained.write_model(Path(), params, "baseline")
        run.complete("models/baseline")


def until(condition, patience=60):
    """What `condition` gives, as soon as it gives something."""
    end = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def test_a_run_completed_in_the_working_tree_takes_the_place_of_the_one_before(project, params):
    train(params, "baseline")
    train(params, "baseline")
    states = [run.data.tags["state"] for run in mirrored.runs(project)]
    assert sorted(states) == ["current"] * 3 + ["superseded"] * 3


@pytest.mark.parametrize(
    "raised, status", [(KeyboardInterrupt, "KILLED"), (process.Stopped, "KILLED"), (ValueError, "FAILED")]
)
def test_a_training_that_does_not_end_leaves_no_run_running(project, params, raised, status):
    with pytest.raises(raised), tracking.live(params, "baseline") as run:
        run.epoch(0, trained.descent(params, "baseline", 0).history[0])
        raise raised
    runs = mirrored.runs(project)
    assert {(run.info.status, run.data.tags["state"]) for run in runs} == {(status, "interrupted")}
    assert len(runs) == 2


def test_a_training_that_fails_before_its_first_number_is_no_run(project, params):
    with pytest.raises(ValueError), tracking.live(params, "baseline"):
        raise ValueError
    assert mirrored.runs(project) == []


def test_a_signal_while_the_runs_are_completed_leaves_none_running(project, params, monkeypatch):
    def stop(number, frame):
        raise process.Stopped(128 + number)

    def slowly(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        complete(*arguments)

    complete, before = tracking.runs.complete, signal.signal(signal.SIGTERM, stop)
    monkeypatch.setattr(tracking.runs, "complete", slowly)
    try:
        with pytest.raises(process.Stopped):
            train(params, "baseline")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert {run.info.status for run in mirrored.runs(project)} == {"FINISHED"}


@contextmanager
def start(project, name="baseline", slowly=1.0):
    """A train stage in a process of its own, `slowly` seconds an epoch; it is gone when the block ends."""
    command = [sys.executable, "-m", "tests.trained", name]
    environment = project.environment | {"SLOWLY": str(slowly)}
    options = {"cwd": project.folder, "env": environment, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as stage:
        try:
            yield stage
        finally:
            stage.kill()


def running(project):
    return mirrored.runs(project, "attributes.status = 'RUNNING'")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_stage_and_its_runs_as_killed(project, number):
    with start(project, slowly=100) as stage:
        until(lambda: len(running(project)) == 3)
        stage.send_signal(number)
        assert stage.wait(30) == 128 + number
    assert {run.info.status for run in mirrored.runs(project)} == {"KILLED"}


@pytest.mark.slow
def test_what_a_sigkill_left_running_is_ended_by_the_next_start(project, params):
    with start(project, slowly=100) as stage:
        until(lambda: len(running(project)) == 3)
        stage.kill()
    assert len(running(project)) == 3
    train(params, "baseline")
    assert sorted(run.info.status for run in mirrored.runs(project)) == ["FINISHED"] * 3 + ["KILLED"] * 3


@pytest.mark.slow
def test_a_second_writer_of_the_same_model_is_refused_in_a_line(project):
    with start(project, slowly=100) as first:
        until(lambda: len(running(project)) == 3)
        with start(project, slowly=0) as second:
            assert second.wait(60) == 1
            assert re.search(
                rf"models/baseline: is being written already, .*{first.pid}", second.stderr.read()
            )


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # bash becomes the command
def test_killing_dvc_ends_its_stage(project, shell):
    project.environment |= {"SLOWLY": "100", "SHELL": shell}
    command = ["dvc", "repro", "-f", "-s", "train@baseline"]
    with subprocess.Popen(command, cwd=project.folder, env=project.environment) as dvc:
        (_, *_) = until(lambda: len(running(project)) == 3 and running(project))
        dvc.kill()
    until(lambda: not running(project))
    assert {run.info.status for run in mirrored.runs(project)} == {"KILLED"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_dvc_and_its_stage_at_once_leaves_no_run_running(project, number):
    """As a terminal sends it that is closed, or in which Ctrl-C is typed."""
    project.environment |= {"SLOWLY": "100"}
    command = ["dvc", "repro", "-f", "-s", "train@baseline"]
    options = {"cwd": project.folder, "env": project.environment, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, start_new_session=True, **options) as dvc:
        until(lambda: len(running(project)) == 3)
        os.killpg(dvc.pid, number)
    until(lambda: not running(project))
    assert {run.info.status for run in mirrored.runs(project)} == {"KILLED"}


def refused() -> str:
    """A port on this machine at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def unwritable(folder: Path) -> str:
    (folder / "file").write_text("")
    return f"sqlite:///{folder}/file/mlflow.db"


def corrupt(folder: Path) -> str:
    (folder / "corrupt.db").write_bytes(b"no database" * 1000)
    return f"sqlite:///{folder}/corrupt.db"


@pytest.mark.parametrize("place", ["refused", "unwritable", "corrupt", "file store", "no host", "nonsense"])
def test_a_store_that_cannot_be_used_costs_one_warning(project, params, monkeypatch, capfd, tmp_path, place):
    uris = {
        "refused": refused,
        "unwritable": lambda: unwritable(tmp_path),
        "corrupt": lambda: corrupt(tmp_path),
        "file store": lambda: f"file://{tmp_path}/mlruns",
        "no host": lambda: "http://user:secret@nowhere.invalid",
        "nonsense": lambda: "nonsense://user:secret@nowhere",
    }
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uris[place]())
    before = time.monotonic()
    train(params, "baseline")
    assert time.monotonic() - before < 40
    warned(capfd)


class ReadOnly(BaseHTTPRequestHandler):
    """A tracking server that shows its experiment and forbids all that writes."""

    def do_GET(self):
        self._answer(
            200, {"experiment": {"experiment_id": "1", "name": EXPERIMENT, "lifecycle_stage": "active"}}
        )

    def do_POST(self):
        self._answer(403, {"error_code": "PERMISSION_DENIED", "message": "Permission denied"})

    def _answer(self, status, content):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *arguments):
        pass


def test_a_server_that_lets_nobody_write_costs_one_warning(project, params, monkeypatch, capfd):
    with ThreadingHTTPServer(("127.0.0.1", 0), ReadOnly) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        train(params, "baseline")
        server.shutdown()
    assert "Permission denied" in warned(capfd)


def warned(capfd) -> str:
    """The one warning on stderr, which names the remedy and no secret."""
    out, err = capfd.readouterr()
    (line,) = err.splitlines()
    assert out == "" and line.startswith("warning: not logged to MLflow: ") and line.endswith(REMEDY)
    assert "secret" not in line
    return line


@pytest.mark.slow
def test_a_server_that_never_answers_neither_hangs_nor_fails_a_training(project, params, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@{host}:{port}")
        before = time.monotonic()
        train(params, "baseline")
        assert time.monotonic() - before < 30
    warned(capfd)


@pytest.mark.parametrize("slow", [(tracking, "open_store"), (tracking.runs, "log_points")])
def test_a_store_that_is_too_slow_is_not_waited_for(project, params, monkeypatch, capfd, slow):
    monkeypatch.setattr(tracking, "PATIENCE", 1)
    release = threading.Event()
    monkeypatch.setattr(*slow, lambda *arguments: release.wait(60))
    before = time.monotonic()
    train(params, "baseline")
    assert time.monotonic() - before < 10
    release.set()
    assert "not done after 1 seconds" in warned(capfd)


@contextmanager
def serving(project):
    """MLflow's own server over the project's store; its address and its process, gone when the block ends."""
    port = refused().rpartition(":")[2]
    store = f"sqlite:///{project.folder}/mlflow.db"
    command = ["mlflow", "server", "--backend-store-uri", store, "--port", port, "--workers", "1"]
    options = {"cwd": project.folder, "env": project.environment, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, start_new_session=True, **options) as server:
        try:
            yield f"http://user:secret@127.0.0.1:{port}", server
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_costs_one_warning_and_sync_repairs_it(project):
    with serving(project) as (address, server):
        until(lambda: answers(address))
        project.environment["MLFLOW_TRACKING_URI"] = address
        with start(project, slowly=8) as stage:
            until(lambda: len(running(project)) == 3)
            os.killpg(server.pid, signal.SIGKILL)
            assert stage.wait(120) == 0
            (line,) = [line for line in stage.stderr.read().splitlines() if line]
            assert line.startswith("warning: not logged") and line.endswith(REMEDY) and "secret" not in line
        server.wait()
    project.run("dvc", "commit", "-q", "-f", "train@baseline")
    with serving(project) as (address, server):
        until(lambda: answers(address))
        project.environment["MLFLOW_TRACKING_URI"] = address
        told = project.run("python", "-m", "stages.sync").stdout
        assert "baseline: had been left running, is ended" in told and "baseline: replayed" in told
        assert project.run("python", "-m", "stages.sync", "--check").stdout == "MLflow agrees with DVC\n"


def answers(address) -> bool:
    try:
        return requests.get(f"{address}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.mark.slow
def test_eight_processes_on_an_empty_store_lose_no_row(project):
    for path in project.folder.glob("mlflow.db*"):
        path.unlink()
    code = (
        "from stages.core.mirror.store import open_store; from stages.core.mirror import runs;"
        "import os; store = open_store();"
        "ids = [runs.start(store, str(n), {'n': str(n)}, runs.now()) for n in range(5)];"
        "[runs.finish(store, run, 'FINISHED', 'current', runs.now()) for run in ids]"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code], cwd=project.folder, env=project.environment, stderr=-1)
        for _ in range(8)
    ]
    for writer in writers:
        _, err = writer.communicate()
        assert (writer.returncode, err) == (0, b"")
    found = mirrored.runs(project)
    assert len(found) == 40 and {run.info.status for run in found} == {"FINISHED"}
    assert mirrored.client(project).get_experiment_by_name(EXPERIMENT).artifact_location == str(
        project.folder / "mlartifacts"
    )


def test_nothing_that_tracking_keeps_names_a_credential(project, params, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush-hush")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "somebody")
    train(params, "baseline")
    held = b"".join(path.read_bytes() for path in project.folder.rglob("*") if path.is_file())
    assert b"hush-hush" not in held
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "hush-hush"

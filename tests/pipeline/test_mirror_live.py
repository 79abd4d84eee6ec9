"""Live runs: what a stage streams, how its runs end, and that MLflow's faults reach no stage."""

import signal
import socket
import subprocess
import time
from contextlib import contextmanager

import psutil
import pytest

from tests.pipeline.test_mirror_foreign import AGREES, local
from tests.support.mlflow_reader import Reader
from tests.support.waiting import wait_for

REMEDY = "the results are on disk all the same, and `dvc-mlflow sync` logs them later"


@contextmanager
def started(repository, *command, **environment):
    """A stage in a process of its own, which is gone when the block ends."""
    environment = repository.environment | environment
    options = {"cwd": repository.folder, "env": environment, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command or ("python", "train.py", "slow"), **options) as stage:
        try:
            yield stage
        finally:
            stage.kill()


def running(repository):
    """The runs that are running in MLflow."""
    return Reader(repository.folder).runs("attributes.status = 'RUNNING'")


def content(reader, run):
    """All that MLflow shows of a run but ids, clocks and where it came from."""
    came_from = ("git.", "mlflow.", "dvc.process", "dvc.replayed", "machine.", "version.", "in_dvc_lock")
    folder = local(run)
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "params": run.data.params,
        "metrics": {key: reader.curve(run, key)[-1:] for key in run.data.metrics},
        "tags": {key: value for key, value in run.data.tags.items() if not key.startswith(came_from)},
        "datasets": [(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs],
        "files": {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        },
    }


def test_a_live_run_is_to_the_byte_what_a_replay_makes(example, mirror):
    example.run("dvc", "repro", "-q", "-f", "-s", "train@slow")
    reader = Reader(example.folder)
    live = reader.stage("train@slow")
    assert "dvc.replayed" not in live.data.tags
    assert live.data.tags["machine.processor"] and live.data.tags["version.python"]
    assert reader.curve(reader.children(live)["seed=1"], "accuracy/validation")[3] == (3, 0.565217), (
        "as in the file"
    )
    both = [content(reader, live), *(content(reader, run) for run in reader.children(live).values())]
    reader.client.delete_run(live.info.run_id)
    mirror("sync")
    again = reader.stage("train@slow")
    replay = [content(reader, again), *(content(reader, run) for run in reader.children(again).values())]
    by_name = [sorted(runs, key=lambda run: run["name"]) for runs in (both, replay)]
    assert by_name[0] == by_name[1]
    assert mirror("check") == AGREES


def test_curves_are_there_while_a_stage_runs_and_a_signal_ends_its_runs_as_killed(example):
    for number in (signal.SIGINT, signal.SIGKILL):
        with started(example, SLOWLY="1000") as stage:
            wait_for(lambda: len(found := running(example)) == 2 and any(run.data.metrics for run in found))
            stage.send_signal(number)
            stage.wait()
        wait_for(lambda: not running(example))
    assert {run.info.status for run in Reader(example.folder).runs()} == {"KILLED"}


def test_runs_whose_whole_process_group_was_killed_are_ended_by_the_next_sync(example, mirror):
    with started(example, SLOWLY="1000") as stage:
        (run, _) = wait_for(lambda: len(found := running(example)) == 2 and found)
        for worker in psutil.Process(stage.pid).children():
            worker.kill()
        stage.kill()
        stage.wait()
    assert len(running(example)) == 2
    assert "left running by a process that has died, ended" in mirror("sync")
    assert running(example) == [] and mirror("check") == AGREES


def test_a_temporary_experiment_logs_to_the_users_repository(example, mirror):
    example.run("dvc", "exp", "run", "-q", "--temp", "-n", "careful", "-S", "models.slow.rate=0.3")
    reader = Reader(example.folder)
    run = reader.stage("train@slow", "params.rate = '0.3'")
    assert run.info.run_name == "train@slow [careful]" and run.data.tags["in_dvc_lock"] == "no"
    assert "train@slow" not in mirror("sync", "--rev", "careful"), "it is there already"
    assert not list((example.folder / ".dvc/tmp/exps").rglob("mlflow.db"))


def refused():
    """The address of a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://user:secret@127.0.0.1:{server.getsockname()[1]}"


def corrupt(folder):
    (folder / "corrupt.db").write_bytes(b"no database" * 1000)
    return f"sqlite:///{folder}/corrupt.db"


def unwritable(folder):
    (folder / "file").write_text("")
    return f"sqlite:///{folder}/file/mlflow.db"


@pytest.mark.parametrize("place", ["refused", "corrupt", "unwritable", "no host", "nonsense"])
def test_a_store_that_cannot_be_used_costs_one_warning(example, tmp_path, place):
    uris = {
        "refused": refused, "corrupt": lambda: corrupt(tmp_path), "unwritable": lambda: unwritable(tmp_path),
        "no host": lambda: "http://user:secret@nowhere.invalid", "nonsense": lambda: "nonsense://user:secret@nowhere",
    }  # fmt: skip
    said = example.run("python", "train.py", "slow", MLFLOW_TRACKING_URI=uris[place]()).stderr.splitlines()
    warnings = [line for line in said if not line.startswith("waiting for MLflow")]
    assert len(warnings) == 1 and warnings[0].startswith("warning: not logged to MLflow: ")
    assert warnings[0].endswith(REMEDY) and "secret" not in warnings[0]


def test_a_server_that_never_answers_is_not_waited_for(example):
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        program = "import sys; sys.argv[1:] = ['slow']; import dvc_mlflow.live; m = sys.modules['dvc_mlflow.live']; m.PATIENCE_S = 12; exec(open('train.py').read())"
        before = time.monotonic()
        said = example.run("python", "-c", program, MLFLOW_TRACKING_URI=uri).stderr
        assert time.monotonic() - before < 60
    assert (
        "waiting for MLflow to take the results" in said
        and said.count("warning: not logged to MLflow: ") == 1
    )


def test_a_wrong_meta_costs_one_warning_that_names_the_key(example):
    example.edit("dvc.yaml", "artifacts: [", "artifact: [")
    said = example.run("python", "train.py", "slow").stderr
    assert (
        "warning: not logged to MLflow: dvc.yaml: stage train@slow: meta.mlflow.artifact: unknown key" in said
    )


def test_quotes_of_both_kinds_in_names_are_no_matter(example, mirror):
    folder = """it's "quoted\""""
    program = "import dvc_mlflow\nwith dvc_mlflow.live():\n    open('out.txt', 'w').write('1')\n"
    stages = "stages:\n  write:\n    cmd: python write.py\n    outs: [out.txt]\n"
    example.write({f"{folder}/write.py": program, f"{folder}/dvc.yaml": stages})
    example.edit("dvc.yaml", "register: digits", """register: "it's \\"digits\\"\"""")
    for _ in range(2):
        assert "not logged" not in example.run("dvc", "repro", "-f", f"{folder}/dvc.yaml").stderr
    example.commit()
    mirror("sync")
    assert mirror("check") == AGREES
    states = [
        run.data.tags["in_dvc_lock"] for run in Reader(example.folder).runs() if "write" in run.info.run_name
    ]
    assert sorted(states) == ["no", "yes"]


def test_a_stage_of_a_subfolder_is_the_same_wherever_dvc_is_called(example, mirror):
    program = "import dvc_mlflow\nwith dvc_mlflow.live():\n    open('out.txt', 'w').write('1')\n"
    stage = "    cmd: python write.py\n    outs: [out.txt]\n    meta: {mlflow: {artifacts: ../params.yaml}}\n"
    for name in ("one", "two"):  # and another stage `sweep` is at the root
        example.write({f"{name}/write.py": program, f"{name}/dvc.yaml": f"stages:\n  sweep:\n{stage}"})
        example.run("sh", "-c", f"cd {name} && dvc repro -q")
    assert running(example) == [] and "one/" not in mirror("sync")
    (run,) = Reader(example.folder).stages("one/dvc.yaml:sweep")
    assert "dvc.replayed" not in run.data.tags and (local(run) / "params.yaml").exists()


def test_a_value_that_is_no_number_costs_one_warning(example):
    program = (
        "import dvc_mlflow\nwith dvc_mlflow.live('train@slow') as run:\n    run.log(0, {'loss': 10**400})\n"
    )
    said = example.run("python", "-c", program).stderr
    assert said.startswith("warning: not logged to MLflow: OverflowError: ") and said.count("\n") == 1

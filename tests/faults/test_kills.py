"""Twenty kills of dvc and its stages at random moments change nothing in the results.

Takes minutes: each kill starts dvc and a stage. KILLS_SEED repeats a series, KILLS shortens it.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from tests.support.project import Project, clone, remedy
from tests.support.small_params import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("KILLS", 20))
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
MODELS = ["batch_full", "baseline"]
TARGETS = ("train", "sweep")
"""The stages that are run, with those that they need."""


def small_project(folder, idx_folder) -> Project:
    """Make a project of two models of one seed and epoch, and a sweep of one run."""

    def shrink(params):
        params["train"] |= {"epochs": 1, "seeds": [0]}
        params["models"] = {name: params["models"][name] for name in MODELS}
        params["studies"] = {"batch_size": {"question": "Which?", "models": MODELS}}
        params["sweep"] |= {"batch_sizes": ["full"], "learning_rates": [0.1]}

    project = clone(folder, idx_folder)
    project.edit(shrink)
    return project


def digests(project: Project) -> dict[str, str]:
    """Return the md5 of every output in dvc.lock."""
    return {out["path"]: out["md5"] for stage in project.lock().values() for out in stage["outs"]}


@pytest.fixture(scope="module")
def undisturbed(idx_folder, tmp_path_factory) -> tuple[dict[str, str], float]:
    """The outputs of one `dvc repro`, and the seconds that it took."""
    project = small_project(tmp_path_factory.mktemp("undisturbed") / "project", idx_folder)
    started = time.monotonic()
    project.run("dvc", "repro", *TARGETS)
    return digests(project), time.monotonic() - started


def running_stages(dvc: psutil.Process) -> dict[psutil.Process, str]:
    """Return the processes of the stage that dvc runs, with the command of each."""
    found = {}
    for process in dvc.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found[process] = " ".join(process.cmdline()[1:])
    return {process: command for process, command in found.items() if "stages." in command}


def kill_once(project: Project, dice: random.Random, seconds: float, force: bool) -> str | None:
    """Start `dvc repro` and kill it or its stage within `seconds`.

    Returns:
        What was hit; None if dvc had ended before.
    """
    delay, number, target = dice.uniform(0, seconds), dice.choice(SIGNALS), dice.choice(["dvc", "stage"])
    command = ["dvc", "repro", *(["-f"] if force else []), *TARGETS]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    with project.start(*command, **streams) as dvc:
        time.sleep(delay)
        if dvc.poll() is not None:
            return None
        stages = running_stages(psutil.Process(dvc.pid))
        stage, running = list(stages.items())[-1] if stages else (dvc, "dvc alone")
        victim = stage if target == "stage" else dvc
        try:
            victim.send_signal(number)
        except psutil.NoSuchProcess:  # the stage has just ended
            dvc.send_signal(number)
        dvc.wait(120)
    _, alive = psutil.wait_procs(stages, timeout=60)
    assert not alive, "a stage outlived its dvc"
    return f"{number.name} to {'dvc' if victim is dvc else 'the stage'} after {delay:.1f} s: {running}"


def repair(project: Project) -> None:
    """Mend the files of dvc, as `make run` asks first: a kill may have hit dvc while it wrote one."""
    with project.start("python", "-m", "descent", "check", "--quick") as check:
        _, err = check.communicate()
    print(err, end="")
    if check.returncode:
        command = remedy(err.splitlines()[-1])
        project.run("sh", "-c", command.removesuffix("; dvc repro"))  # the next run is to be killed too


def test_after_twenty_kills_one_run_gives_the_outputs_of_an_undisturbed_one(
    undisturbed, idx_folder, tmp_path
):
    expected, seconds = undisturbed
    project = small_project(tmp_path / "project", idx_folder)
    seed = int(os.environ.get("KILLS_SEED", random.randrange(2**32)))
    print(f"KILLS_SEED={seed}")
    dice, hits, force = random.Random(seed), 0, False
    (project.folder / "dvc.lock").write_text("")  # a kill while dvc writes it, which is rare
    repair(project)
    while hits < KILLS:
        if hit := kill_once(project, dice, seconds / 3, force):
            hits += 1
            print(hits, hit)
        else:
            force = True  # everything is made; from here on it is made again
        repair(project)
    project.run("dvc", "repro", *TARGETS)
    assert digests(project) == expected
    assert project.stages_due(*TARGETS) == []


IMPORTS = {
    "dvc_mlflow check": ["psutil", "argparse", "dvc_mlflow.store"],
    "stages.report": ["descent.process", "pandas"],
    "descent show": ["yaml", "pandas"],
}


@pytest.mark.parametrize(
    ("command", "module"), [(key, one) for key, names in IMPORTS.items() for one in names]
)
def test_ctrl_c_while_a_library_is_imported_ends_without_a_traceback(tmp_path, command, module):
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, signal, sys
def interrupt(event, arguments):
    if event == "import" and arguments[0] == {module!r}:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(interrupt)
""")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    arguments = [sys.executable, "-m", *command.split()]
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode in (130, -signal.SIGINT)
    assert done.stdout + done.stderr in ("", "interrupted\n")

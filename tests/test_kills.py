"""Twenty kills of dvc and its stages at random moments leave nothing that an undisturbed history has not."""

import os
import random
import re
import signal
import subprocess
import time

import psutil
import pytest

from tests.project import Project, clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
KILLS = 20
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
MODELS = ["batch_full", "baseline"]


def small(folder, digits) -> Project:
    """Two models of one seed and epoch, a map of one run: what a stage costs is its start."""

    def shrink(params):
        params["train"] |= {"epochs": 1, "seeds": [0]}
        params["models"] = {name: params["models"][name] for name in MODELS}
        params["studies"] = {"batch_size": {"question": "Which?", "models": MODELS}}
        params["sweep"] |= {"batch_sizes": ["full"], "learning_rates": [0.1]}

    project = clone(folder, digits)
    project.edit(shrink)
    return project


def hashes(project: Project) -> dict[str, str]:
    """What dvc.lock has of every output in which no clock shows."""
    outs = {out["path"]: out["md5"] for stage in project.lock().values() for out in stage["outs"]}
    return {path: md5 for path, md5 in outs.items() if "timing" not in path}


@pytest.fixture(scope="module")
def undisturbed(idx_folder, tmp_path_factory) -> tuple[dict[str, str], float]:
    """The hashes after one `dvc repro`, and the seconds that it took."""
    project = small(tmp_path_factory.mktemp("undisturbed") / "project", idx_folder)
    before = time.monotonic()
    project.run("dvc", "repro")
    return hashes(project), time.monotonic() - before


def stages_of(dvc: psutil.Process) -> list[psutil.Process]:
    """The stage's own processes: the Python that runs it, below dvc and perhaps a shell."""
    found = []
    for process in dvc.children(recursive=True):
        try:
            found += [process] if "stages." in " ".join(process.cmdline()[:3]) else []
        except psutil.NoSuchProcess:
            pass
    return found


def disturb(project: Project, dice: random.Random, patience: float, force: bool) -> str | None:
    """Begin `dvc repro`, kill it or its stage within `patience` seconds: what was hit; None if too late."""
    seconds, number, whom = dice.uniform(0, patience), dice.choice(SIGNALS), dice.choice(["dvc", "stage"])
    command = ["dvc", "repro", *(["-f"] if force else [])]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    with subprocess.Popen(command, cwd=project.folder, env=project.environment, **streams) as dvc:
        time.sleep(seconds)
        if dvc.poll() is not None:
            return None
        begun = stages_of(psutil.Process(dvc.pid))
        victim = begun[-1] if whom == "stage" and begun else dvc
        doing = " ".join(begun[-1].cmdline()[1:]) if begun else "dvc alone"
        victim.send_signal(number)
        dvc.wait(120)
    _, outlived = psutil.wait_procs(begun, timeout=60)
    assert not outlived, "a stage outlived its dvc"
    return f"{number.name} to {'dvc' if victim is dvc else 'the stage'} after {seconds:.1f} s: {doing}"


def make_ready(project: Project) -> None:
    """What `make run` does before `dvc repro`: a kill may have hit dvc while it wrote a file of its own."""
    command = ["python", "-m", "stages.ready"]
    done = subprocess.run(
        command, cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    print(done.stderr, end="")
    if done.returncode:
        project.run(
            "sh", "-c", re.search(r"^dvc.lock: .*; to mend it: (.+); dvc repro$", done.stderr, re.M)[1]
        )


def test_after_twenty_kills_one_undisturbed_run_gives_what_an_undisturbed_history_has(
    undisturbed, idx_folder, tmp_path
):
    expected, seconds = undisturbed
    project = small(tmp_path / "project", idx_folder)
    seed = int(os.environ.get("KILLS_SEED", random.randrange(2**32)))
    print(f"KILLS_SEED={seed}")
    dice, hits, force = random.Random(seed), 0, False
    while hits < KILLS:
        if told := disturb(project, dice, seconds / 3, force):
            hits += 1
            print(hits, told)
        else:
            force = True  # all is made: from here on it is made again
        make_ready(project)
    project.run("dvc", "repro")
    assert hashes(project) == expected
    assert project.stages_due() == []

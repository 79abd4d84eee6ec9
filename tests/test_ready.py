"""What `make run` does before it calls dvc: faults are told, and a lock that was cut short is removed."""

import subprocess

import pytest
from dvc.lock import make_lock

from tests.project import clone

pytestmark = [pytest.mark.slow]


@pytest.fixture
def project(idx_folder, tmp_path):
    """A clone in which nothing was run yet."""
    return clone(tmp_path / "project", idx_folder)


def ready(project) -> subprocess.CompletedProcess:
    command = ["python", "-m", "stages.ready"]
    return subprocess.run(
        command, cwd=project.folder, env=project.environment, capture_output=True, text=True
    )


def tear(project) -> None:
    """Leave what a dvc leaves that is killed as it writes who reads what."""
    folder = project.folder / ".dvc/tmp"
    folder.mkdir(exist_ok=True)
    (folder / "rwlock").write_text('{"write": {"/proj')


def test_where_nothing_is_wrong_nothing_is_said(project):
    done = ready(project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_lock_that_was_cut_short_is_removed_and_dvc_runs_again(project):
    tear(project)
    assert "Unable to read RWLock-file" in project.run("dvc", "repro", "download", expect=255).stdout
    done = ready(project)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(".dvc/tmp/rwlock: was cut short") and done.stderr.count("\n") == 1
    project.run("dvc", "repro", "download")


def test_a_lock_that_is_whole_is_left_alone(project):
    tear(project)
    lock = project.folder / ".dvc/tmp/rwlock"
    lock.write_text('{"write": {}, "read": {}}')
    assert ready(project).returncode == 0
    assert lock.read_text() == '{"write": {}, "read": {}}'


def test_a_dvc_lock_that_was_cut_short_is_told_and_left_to_the_user(project):
    (project.folder / "dvc.lock").write_text("schema: '2.0'\nstages:\n  down")
    done = ready(project)
    assert done.returncode == 1
    assert done.stderr.startswith("dvc.lock: is cut short") and done.stderr.count("\n") == 1
    assert (project.folder / "dvc.lock").exists()


def test_a_dvc_lock_in_conflict_is_told_as_such(project):
    (project.folder / "dvc.lock").write_text("<<<<<<< HEAD\nschema: '2.0'\n=======\n>>>>>>> other\n")
    done = ready(project)
    assert done.returncode == 1 and "in conflict" in done.stderr and "--ours" in done.stderr


def test_a_lock_that_is_held_for_long_is_left_to_dvc_to_tell(project):
    tear(project)
    with make_lock(str(project.folder / ".dvc/tmp/rwlock.lock")):
        done = ready(project)
    assert (done.returncode, done.stderr) == (0, "")
    assert (project.folder / ".dvc/tmp/rwlock").exists()


def test_a_check_names_a_lock_that_was_cut_short_even_where_nothing_was_made(project):
    tear(project)
    done = project.run("python", "-m", "stages.check", expect=1)
    assert done.stdout.startswith(".dvc/tmp/rwlock: is cut short")


def test_a_bad_parameter_is_told_before_dvc_is_asked(project):
    project.edit(lambda params: params["train"].update(epochs=0))
    done = ready(project)
    assert done.returncode == 2
    assert done.stderr.startswith("params.yaml: train.epochs") and done.stderr.count("\n") == 1

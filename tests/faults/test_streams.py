"""Every command and stage survives standard streams that are closed, full, or read to their first line."""

import subprocess

import pytest

from descent import paths
from tests.support.images import write_arrays
from tests.support.project import clone

CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def project(tmp_path_factory, idx_folder, dataset):
    """A clone with raw data and arrays, in which nothing was trained."""
    project = clone(tmp_path_factory.mktemp("streams") / "project", idx_folder)
    project.run("python", "-m", "stages.download")
    write_arrays(project.folder / paths.ARRAYS, dataset)
    return project


@pytest.fixture(params=["descent checksum data/raw", "stages.preprocess"])
def command(request):
    """A command or stage that ends well."""
    return f"python -m {request.param}"


def run(project, command: str) -> subprocess.CompletedProcess:
    shell = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(
        shell, cwd=project.folder, env=project.environment, capture_output=True, text=True, timeout=100
    )


@pytest.mark.parametrize("closed", CLOSED)
def test_a_closed_stream_changes_nothing(project, command, closed):
    done = run(project, f"{command} {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if ">&-" in closed.split() else run(project, command).stdout)


def test_a_reader_that_has_gone_ends_the_command_in_silence(project):
    for command in ("python -m stages.preprocess", "python -m descent checksum data/raw"):
        done = run(project, f"{command} | true")
        assert (done.returncode, done.stdout, done.stderr) == (141, "", "")


def test_a_full_disk_behind_stdout_is_one_line(project):
    done = run(project, "python -m stages.preprocess > /dev/full")
    assert (done.returncode, done.stderr) == (1, "standard output: No space left on device\n")


@pytest.mark.parametrize("closed", CLOSED)
def test_no_file_of_the_mirror_takes_the_place_of_a_closed_stream(project, closed):
    code = (
        "from dvc_mlflow.process import open_standard_streams as o; o(); print(open('x', 'w').fileno() > 2)"
    )
    done = run(project, f'python -c "{code}" {closed}')
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if ">&-" in closed.split() else "True\n")

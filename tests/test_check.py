"""Damage to what dvc.lock names is found, named, and mended by the very command that is told."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from stages.core.integrity import held
from tests import mirrored

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MODEL = "models/baseline/model.keras"
REPLICATE = "models/rate_100/replicates/seed_0.keras"  # not the best, which is model.keras as well
TABLE = "reports/comparison.csv"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A trained repository; what one test damages, it has mended at its end."""
    project = mirrored.trained(tmp_path_factory.mktemp("check") / "project")
    project.environment["UNTRACKED"] = "1"
    return project


def check(project) -> subprocess.CompletedProcess:
    command = ["python", "-m", "stages.check"]
    return subprocess.run(
        command, cwd=project.folder, env=project.environment, capture_output=True, text=True
    )


def change(path: Path) -> None:
    """Flip a bit and leave size and times as they were, as a failing disk does."""
    before, mode = path.stat(), path.stat().st_mode
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def damage(project, how: str, path: Path) -> None:
    """Change or remove a file here, its copy in DVC's cache, or both."""
    cached = next(one.cached for one in held(Repo(str(project.folder))) if one.path == path)
    places = {"here": [project.folder / path], "cache": [cached], "both": [project.folder / path, cached]}
    what, where = how.split()
    for place in places[where]:
        change(place) if what == "changed" else place.unlink()


@pytest.mark.parametrize(
    "how", ["changed here", "missing here", "changed cache", "missing cache", "changed both", "missing both"]
)
@pytest.mark.parametrize("path", [MODEL, REPLICATE])
def test_a_damaged_output_is_named_with_the_command_that_mends_it(project, path, how):
    damage(project, how, Path(path))
    mended(project, path)


@pytest.mark.parametrize("how", ["changed here", "missing here", "changed cache", "missing cache"])
def test_a_damaged_array_is_named_with_the_command_that_mends_it(project, how):
    damage(project, how, Path("data/arrays/test_labels.npy"))
    mended(project, "data/arrays/test_labels.npy")


@pytest.mark.parametrize("how", ["changed cache", "missing cache"])
def test_a_damaged_listing_of_a_folder_is_named_with_the_command_that_mends_it(project, how):
    damage(project, how, Path("models/baseline/replicates"))
    mended(project, "models/baseline/replicates")


def test_a_file_too_many_in_a_folder_is_told_and_mended(project):
    (project.folder / "models/baseline/replicates/seed_7.keras").write_text("one more")
    mended(project, "models/baseline/replicates")


@pytest.mark.parametrize("what", ["changed", "missing"])
def test_a_damaged_file_of_the_report_is_named_with_the_command_that_mends_it(project, what):
    path = project.folder / TABLE
    change(path) if what == "changed" else path.unlink()
    mended(project, TABLE)


@pytest.mark.parametrize("path", [".dvc/tmp/rwlock", "dvc.lock"])
@pytest.mark.parametrize("length", [0, 40])
def test_a_file_of_dvc_that_was_cut_short_is_named_with_the_command_that_mends_it(project, path, length):
    if path == "dvc.lock":
        content = (project.folder / path).read_text()
    else:
        content = json.dumps({"write": {}, "read": {"models": [{"pid": 1, "cmd": "dvc repro"}]}})
    (project.folder / path).write_text(content[:length])
    project.run("dvc", "repro", expect=255)
    mended(project, path)


def mended(project, path: str) -> None:
    """The damage is told in one line that begins with `path`; its command mends it, and DVC agrees."""
    done = check(project)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    fault = "changed|missing|cut short"
    remedy = re.fullmatch(rf"{re.escape(path)}: is .*(?:{fault}).*; to mend it: (.+)", line)[1]
    project.run("sh", "-c", remedy)
    assert "are whole" in check(project).stdout
    assert project.stages_due() == []


def test_what_is_lost_here_comes_back_from_a_remote(project, tmp_path):
    project.run("dvc", "remote", "add", "-d", "storage", str(tmp_path))
    project.run("dvc", "push")
    damage(project, "changed both", Path(REPLICATE))
    mended(project, REPLICATE)
    project.run("dvc", "remote", "remove", "storage")


def test_what_is_whole_is_said_to_be(project):
    done = check(project)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"all \d+ files and folders .* are whole, here and in DVC's cache\n", done.stdout)


def test_what_dvc_restores_from_a_damaged_cache_is_found(project):
    """DVC itself copies the damaged file into its place, and then says that all is up to date."""
    damage(project, "changed cache", Path(MODEL))
    (project.folder / MODEL).unlink()
    project.run("dvc", "checkout", MODEL)
    assert project.stages_due() == []
    mended(project, MODEL)

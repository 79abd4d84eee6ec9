"""Damage of what dvc.lock names is found and named with a command, and that very command repairs it."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from dvc.lock import make_lock
from dvc.repo import Repo

from descent.integrity import recorded_files
from tests.support.project import Project, clone, remedy
from tests.support.small_params import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # each test runs dvc several times

MODEL = "models/baseline/model.keras"
REPLICATES = "models/baseline/replicates"
REPLICATE = f"{REPLICATES}/seed_0.keras"
TABLE = "reports/comparison.csv"

TRAIN = """
from pathlib import Path
folder = Path("models/baseline/replicates")
folder.mkdir(parents=True, exist_ok=True)
for seed in (0, 1):
    (folder / f"seed_{seed}.keras").write_bytes(bytes([seed]) * 1000)
Path("models/baseline/model.keras").write_bytes(bytes([1]) * 1000)
"""
REPORT = """
from pathlib import Path
Path("reports").mkdir(exist_ok=True)
Path("reports/comparison.csv").write_text("model,accuracy\\nbaseline,0.9\\n")
"""
STAGES = {
    "train": {"cmd": "exec python train.py", "deps": ["train.py"], "outs": [MODEL, REPLICATES]},
    "report": {
        "cmd": "exec python report.py",
        "deps": ["report.py", MODEL],
        "outs": [{TABLE: {"cache": False}}],
    },
}


def recorded_project(folder: Path) -> Project:
    """Make a git and DVC repository with two small stages, run them and commit everything: real caches, in seconds."""
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "report.py").write_text(REPORT)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (folder / ".gitignore").write_text("__pycache__/\n")
    project = Project(folder)
    project.environment["PYTHONPATH"] = str(ROOT)
    for command in (
        "git init -q -b main",
        "git config user.name Test",
        "git config user.email test@example.org",
        "dvc init -q",
        "dvc repro -q",
    ):
        project.run(*command.split())
    project.commit("Run")
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A repository whose pipeline has run; what one test damages, it has repaired at its end."""
    return recorded_project(tmp_path_factory.mktemp("damage") / "project")


def change(path: Path) -> None:
    """Flip a bit and keep size and times, as a failing disk does."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def damage(project: Project, how: str, path: str) -> None:
    """Change or remove a file here, its copy in DVC's cache, or both."""
    recorded = recorded_files(Repo(str(project.folder)))
    cached = next(file.cached for file in recorded if file.path == Path(path))
    places = {"here": [project.folder / path], "cache": [cached], "both": [project.folder / path, cached]}
    what, where = how.split()
    for place in places[where]:
        change(place) if what == "changed" else place.unlink()


def assert_repaired(project: Project, path: str) -> None:
    """Expect one line that starts with `path`; run its command, and expect DVC to agree."""
    done = project.run("python", "-m", "descent", "check", expect=1)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert re.match(rf"{re.escape(path)}: is .*(?:changed|missing|truncated)", line)
    project.run("sh", "-c", remedy(line))
    assert "are intact" in project.run("python", "-m", "descent", "check").stdout
    assert project.stages_due() == []


HERE, CACHE, BOTH = (["changed " + place, "missing " + place] for place in ("here", "cache", "both"))


@pytest.mark.parametrize("how", HERE + CACHE + BOTH)
def test_a_damaged_output_is_named_with_the_command_that_repairs_it(project, how):
    damage(project, how, MODEL)
    assert_repaired(project, MODEL)


@pytest.mark.parametrize("how", HERE + CACHE + BOTH)
def test_a_damaged_file_of_a_folder_is_named_with_the_command_that_repairs_it(project, how):
    damage(project, how, REPLICATE)
    assert_repaired(project, REPLICATE)


@pytest.mark.parametrize("how", CACHE)
def test_a_damaged_listing_of_a_folder_is_named_with_the_command_that_repairs_it(project, how):
    damage(project, how, REPLICATES)
    assert_repaired(project, REPLICATES)


def test_an_additional_file_in_a_folder_is_reported_and_repaired(project):
    (project.folder / REPLICATES / "seed_7.keras").write_text("another")
    assert_repaired(project, REPLICATES)


@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_damaged_file_that_git_keeps_is_named_with_the_command_that_repairs_it(project, how):
    path = project.folder / TABLE
    change(path) if how == "changed" else path.unlink()
    assert_repaired(project, TABLE)


def test_a_damaged_folder_that_git_keeps_is_repaired(tmp_path):
    project = recorded_project(tmp_path / "project")
    stages = yaml.safe_load((project.folder / "dvc.yaml").read_text())
    stages["stages"]["report"]["outs"] = [{"reports": {"cache": False}}]
    (project.folder / "dvc.yaml").write_text(yaml.safe_dump(stages))
    project.run("dvc", "repro", "-q")
    (project.folder / "reports/stray.csv").write_text("another")
    assert_repaired(project, "reports")


def test_a_missing_or_invalid_pipeline_does_not_count_as_intact(project):
    path = project.folder / "dvc.yaml"
    before = path.read_text()
    for content, words in (("", "has no stage .* `git checkout dvc.yaml`"), ("no: key", "; `dvc status`")):
        path.write_text(content)
        (line,) = project.run("python", "-m", "descent", "check", expect=1).stderr.splitlines()
        assert re.search(words, line)
    path.write_text(before)


@pytest.mark.parametrize("length", [0, 40])
def test_a_truncated_lock_is_named_with_the_command_that_repairs_it(project, length):
    path = project.folder / "dvc.lock"
    path.write_text(path.read_text()[:length])
    project.run("dvc", "repro", expect=255)
    assert_repaired(project, "dvc.lock")


@pytest.mark.parametrize("length", [0, 40])
def test_a_truncated_rwlock_is_removed_and_dvc_runs_again(project, length):
    path = project.folder / ".dvc/tmp/rwlock"
    content = json.dumps({"write": {}, "read": {"models": [{"pid": 1, "cmd": "dvc repro"}]}})
    path.write_text(content[:length])
    assert "Unable to read RWLock-file" in project.run("dvc", "repro", expect=255).stderr
    done = project.run("python", "-m", "descent", "check", "--quick")
    assert (done.stdout, done.stderr) == (
        "",
        ".dvc/tmp/rwlock: was truncated, as by a kill of dvc; removed\n",
    )
    assert project.stages_due() == []


def test_a_file_that_is_lost_here_is_pulled_from_a_remote(project, tmp_path):
    project.run("dvc", "remote", "add", "-d", "storage", str(tmp_path))
    project.run("dvc", "push")
    damage(project, "changed both", REPLICATE)
    assert_repaired(project, REPLICATE)
    project.run("dvc", "remote", "remove", "storage")


def test_a_file_that_dvc_restored_from_a_damaged_cache_is_found(project):
    """DVC itself copies the damaged file to its place, and then says that all is up to date."""
    damage(project, "changed cache", MODEL)
    (project.folder / MODEL).unlink()
    project.run("dvc", "checkout", MODEL)
    assert project.stages_due() == []
    assert_repaired(project, MODEL)


# Before the pipeline has run: `descent check --quick`


@pytest.fixture
def new_project(idx_folder, tmp_path):
    """A clone in which nothing has run."""
    return clone(tmp_path / "project", idx_folder)


def quick(project: Project, expect: int = 0) -> str:
    done = project.run("python", "-m", "descent", "check", "--quick", expect=expect)
    assert done.stdout == ""
    return done.stderr


def test_a_new_clone_has_no_fault(new_project):
    assert quick(new_project) == ""
    done = new_project.run("python", "-m", "descent", "check", expect=1)
    assert done.stderr == "dvc.lock: does not exist; `dvc repro` makes it\n"


def test_a_truncated_rwlock_that_a_dvc_holds_is_left_alone(new_project):
    lock = new_project.folder / ".dvc/tmp/rwlock"
    lock.parent.mkdir()
    lock.write_text('{"write": {"/proj')
    with make_lock(f"{lock}.lock", tmp_dir=str(lock.parent)):
        assert quick(new_project) == ""
    assert lock.exists()


def test_an_invalid_parameter_is_reported_before_dvc_runs(new_project):
    new_project.edit(lambda params: params["train"].update(epochs=0))
    line = quick(new_project, expect=2)
    assert line.startswith("params.yaml: train.epochs: 0 ") and line.count("\n") == 1


def test_a_merge_conflict_in_the_lock_is_resolved_without_training_again(project, tmp_path):
    """What only the other side trained, and pushed, is pulled."""
    ours, stages = Project(tmp_path / "ours"), {"a": "echo a > a", "b": "echo b > b"}

    def train(here: Project, *names: str) -> None:
        content = {name: {"cmd": stages[name], "outs": [name]} for name in names}
        (here.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": content}))
        here.run("dvc", "repro", "-q")
        here.commit(f"Train {names}")

    project.run("git", "switch", "-q", "-c", "theirs")
    project.run("git", "clone", "-q", ".", str(ours.folder))
    ours.environment = project.environment
    for name in ("name", "email"):
        ours.run("git", "config", f"user.{name}", "Test")
    project.run("dvc", "remote", "add", "-d", "storage", str(tmp_path / "storage"))
    ours.run("dvc", "remote", "add", "-d", "storage", str(tmp_path / "storage"))
    train(project, "a")
    project.run("dvc", "push", "-q")
    train(ours, "b")
    ours.run("git", "pull", "-q", "--no-rebase", "origin", "theirs", expect=1)
    ours.run("git", "checkout", "-q", "--ours", "dvc.yaml", ".gitignore")
    content = {name: {"cmd": command, "outs": [name]} for name, command in stages.items()}
    (ours.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": content}))
    line = quick(ours, expect=1)
    assert "Running stage" not in ours.run("sh", "-c", remedy(line)).stdout
    assert (ours.folder / "a").read_text() == "a\n"


@pytest.mark.parametrize(
    ("text", "words"), [("[core\n x", "Parsing failed"), ("[core]\nanalytics = x\n", "expected")]
)
def test_a_damaged_configuration_of_dvc_is_one_line_with_a_remedy(project, text, words):
    """Whatever DVC raises is a line, in every command."""
    (project.folder / ".dvc/config").write_text(text)
    line = quick(project, expect=1)
    assert line.startswith(f"dvc: config file error: {words}") and line.count("\n") == 1
    mirror = project.run("python", "-m", "dvc_mlflow", "check", expect=1)
    assert mirror.stderr.startswith(f"dvc: config file error: {words}")
    project.run("sh", "-c", re.findall("`(.+?)`", line)[0])
    assert quick(project) == ""


def test_a_folder_of_outputs_that_is_a_link_is_named_with_a_remedy(project, tmp_path):
    """DVC says of an output that it is outside of the repository, after the stage has run."""
    (project.folder / "models").rename(tmp_path / "large")
    (project.folder / "models").symlink_to(tmp_path / "large")
    line = quick(project, expect=1)
    remedy = line.partition("elsewhere: ")[2].replace("FOLDER", str(tmp_path / "cache"))
    assert line.startswith("models: is a link")
    project.run("sh", "-c", remedy)
    assert quick(project) == ""
    (project.folder / ".dvc/config.local").unlink()
    (tmp_path / "large").rename(project.folder / "models")


def test_a_worktree_whose_repository_was_moved_is_not_made_a_new_one(project, tmp_path):
    worktree, git = Project(tmp_path / "tree"), project.folder / ".git"
    project.run("git", "worktree", "add", "-q", str(worktree.folder))
    worktree.environment = project.environment
    git.rename(git.with_name(".moved"))
    line = quick(worktree, expect=1)
    git.with_name(".moved").rename(git)
    assert line.startswith(f"{worktree.folder}/.git: is of no use to git") and "git init" not in line

"""dvc.yaml declares all that can change a stage's outputs, and nothing else; imports go one way."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from tests.support.project import Project
from tests.support.small_params import ROOT

pytestmark = pytest.mark.timeout(900)  # the first test with the project runs the pipeline, or waits for it
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PACKAGES = ("stages", "descent", "dvc_mlflow")
NUMBERS = ("train", "sweep")
"""The stages that compute numbers."""
HANDS_ON = {
    Path(f"descent/{name}.py") for name in "config data errors parallel paths process timings".split()
}
"""Modules that hand on parameters, arrays, runs, errors and times as they are: no dependency of a stage."""


def stage(name: str) -> dict:
    """Return a stage's mapping, also one below `foreach`."""
    return PIPELINE[name].get("do", PIPELINE[name])


def modules(*packages: str) -> list[Path]:
    """Return the files of packages, relative to the root; a package that does not exist has none."""
    return [path.relative_to(ROOT) for name in packages for path in sorted((ROOT / name).rglob("*.py"))]


def names_imported(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, at its top or inside a function."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides what a stage depends on"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(path: Path) -> set[Path]:
    """Return the project's files that a module imports, with the __init__.py of their packages."""
    files = set()
    for name in names_imported(path):
        parts = name.split(".")
        if parts[0] in PACKAGES:
            for end in range(1, len(parts) + 1):
                stem = Path(*parts[:end])
                files |= {stem.with_suffix(".py"), stem / "__init__.py"}
    return {file for file in files if (ROOT / file).exists()}


def is_dependency(path: Path, name: str) -> bool:
    deps = [Path(dep) for dep in stage(name)["deps"]]
    return any(dep == path or dep in path.parents for dep in deps)


# From the imports alone


@pytest.mark.parametrize("name", [name for name in PIPELINE if "deps" in stage(name)])
def test_a_dependency_of_a_stage_imports_only_dependencies_of_the_stage(name):
    """A stage that trains nothing takes names and settings from the engine, which it need not depend on."""
    trains = is_dependency(Path("descent/engine/training.py"), name)
    declared = [path for path in modules("stages", "descent") if is_dependency(path, name)]
    assert declared
    for path in declared:
        files = {file for file in imported(path) - HANDS_ON if file.name != "__init__.py"}  # docstrings
        undeclared = {
            file
            for file in files
            if not is_dependency(file, name) and (trains or file.parent != Path("descent/engine"))
        }
        undeclared -= set(modules("dvc_mlflow"))
        assert not undeclared, f"{path} imports {undeclared}, which are not in dvc.yaml's deps of {name}"


def test_the_engine_imports_nothing_of_the_project_but_itself():
    for path in modules("descent/engine"):
        assert {file.parent for file in imported(path)} <= {Path("descent"), Path("descent/engine")}
        assert imported(path) <= {Path("descent/__init__.py"), *modules("descent/engine")}, path


def test_the_packages_hold_no_code_in_init():
    for path in (Path("descent/__init__.py"), Path("descent/engine/__init__.py")):
        tree = ast.parse((ROOT / path).read_text())
        assert [type(node) for node in tree.body] == [ast.Expr], f"{path} is imported with every module"


def test_descent_and_dvc_mlflow_import_neither_stages_nor_each_other():
    for package, forbidden in (("descent", {"stages", "dvc_mlflow"}), ("dvc_mlflow", {"stages", "descent"})):
        for path in modules(package):
            found = {name for name in names_imported(path) if name.split(".")[0] in forbidden}
            assert not found, f"{path} imports {found}"


def test_no_module_imports_the_tests():
    for path in modules(*PACKAGES):
        assert not [name for name in names_imported(path) if name.split(".")[0] in ("tests", "benchmarks")], (
            path
        )


def test_imports_have_no_circle():
    files = [path for path in modules("descent", "dvc_mlflow") if path.name != "__init__.py"]
    graph = {path: imported(path) & set(files) - {path} for path in files}
    list(TopologicalSorter(graph).static_order())


# From dvc.yaml alone


@pytest.mark.parametrize("name", PIPELINE)
def test_a_stage_has_one_name_for_its_file_and_its_command(name):
    module = "train" if name == "tune" else name  # the same trainings, of other models
    assert stage(name)["cmd"].split()[:4] == ["exec", "python", "-m", f"stages.{module}"]
    assert (ROOT / "stages" / f"{module}.py").exists()


# With the real dvc


@pytest.fixture
def edit(project):
    """Return a function that appends a comment to a module; undo everything when the test ends."""
    before, lock = {}, (project.folder / "dvc.lock").read_bytes()

    def append(path: Path) -> None:
        before[path] = (project.folder / path).read_bytes()
        (project.folder / path).write_bytes(before[path] + b"\n# a comment\n")

    yield append
    for path, content in before.items():
        (project.folder / path).write_bytes(content)
    if (project.folder / "dvc.lock").read_bytes() != lock:
        (project.folder / "dvc.lock").write_bytes(lock)
        project.run("dvc", "checkout", "-q", "-f", "--with-deps", *NUMBERS)


def trained_models(project: Project) -> set[str]:
    return {name for name in project.lock() if name.startswith("train@")}


@pytest.mark.slow
def test_an_edit_of_a_module_that_is_no_dependency_leaves_train_and_sweep_clean(project, edit):
    others = [path for path in modules(*PACKAGES) if not any(is_dependency(path, name) for name in NUMBERS)]
    edited = [path for path in others if not is_dependency(path, "preprocess")]
    assert {Path(f"descent/{name}.py") for name in ("config", "parallel", "process", "cli")} <= set(edited)
    for path in edited:
        edit(path)
    assert project.run("dvc", "status", *NUMBERS).stdout == "Data and pipelines are up to date.\n"
    assert project.stages_due(*NUMBERS) == []


@pytest.mark.slow
def test_an_edit_of_the_engine_makes_train_and_sweep_stale(project, edit):
    edit(Path("descent/engine/epoch.py"))
    assert set(project.stages_due(*NUMBERS)) == trained_models(project) | {"sweep"}


@pytest.mark.slow
def test_an_edit_of_the_sweep_makes_the_sweep_alone_stale(project, edit):
    edit(Path("descent/sweep.py"))
    assert project.stages_due(*NUMBERS) == ["sweep"]


@pytest.mark.slow
def test_an_edit_of_how_data_is_read_makes_only_preprocess_stale_if_the_arrays_stay(project, edit):
    """DVC runs preprocess again, finds the same arrays, and stops."""
    edit(Path("descent/data.py"))
    assert "Stage 'sweep' didn't change" in project.run("dvc", "repro", *NUMBERS).stdout


@pytest.mark.slow
def test_a_comment_in_the_engine_is_recorded_without_a_training(project, edit):
    documents = ("docs/reproducibility.md", "CONTRIBUTING.md", "dvc.yaml")
    (command,) = {
        re.search("`(dvc commit -f .*?)`", (ROOT / path).read_text()).group(1) for path in documents
    }
    edit(Path("descent/engine/network.py"))
    assert set(project.stages_due(*NUMBERS, "tune")) == trained_models(project) | {"sweep", "tune"}
    project.run(*command.split())
    assert project.stages_due(*NUMBERS, "tune") == []

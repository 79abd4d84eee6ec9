"""dvc.yaml declares what each stage really needs: its modules, its parameters, its outputs."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def body(stage: str) -> dict:
    """A stage's own mapping, also where it stands under foreach."""
    return STAGES[stage].get("do", STAGES[stage])


def imported(path: Path) -> set[Path]:
    """The project's modules that a module imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what a stage depends on"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = {ROOT / (name.replace(".", "/") + ".py") for name in names if name.startswith("stages")}
    return {file for file in files if file.exists()}


MIRROR = ROOT / "stages" / "core" / "mirror"
"""It shows in MLflow what a stage has written, and changes none of it: to edit it trains nothing anew."""


def needed(stage: str) -> set[str]:
    """Every module that may change what a stage writes: its own, and all that it imports in turn."""
    found, todo = set(), {ROOT / "stages" / f"{stage}.py"}
    while todo:
        found |= todo
        todo = {file for path in todo for file in imported(path) if MIRROR not in file.parents} - found
    return {str(path.relative_to(ROOT)) for path in found}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_that_may_change_its_outputs_and_on_no_other(stage):
    declared = {dep for dep in body(stage)["deps"] if dep.endswith(".py")}
    assert declared == needed(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_file_command_and_test_have_one_name(stage):
    assert (ROOT / "stages" / f"{stage}.py").exists()
    assert (ROOT / "tests" / f"test_{stage}.py").exists()
    assert body(stage)["cmd"].split()[1:4] == ["python", "-m", f"stages.{stage}"]


@pytest.mark.parametrize("stage", STAGES)
def test_no_shell_stands_between_dvc_and_its_stage(stage):
    assert body(stage)["cmd"].startswith("exec ")


def test_no_topic_in_core_knows_a_stage():
    stages = {ROOT / "stages" / f"{stage}.py" for stage in STAGES}
    for path in (ROOT / "stages" / "core").rglob("*.py"):
        assert not imported(path) & stages, path


def test_imports_run_in_no_circle():
    graph = {path: imported(path) for path in (ROOT / "stages").rglob("*.py")}
    list(TopologicalSorter(graph).static_order())


def test_the_stages_stand_in_the_order_in_which_data_flows():
    outs = []
    for stage in STAGES:
        for dep in body(stage)["deps"]:
            if dep.startswith(("data/", "models")):
                assert any(out.startswith(dep) for out in outs), f"{stage} needs {dep} before it is made"
        outs += [out if isinstance(out, str) else next(iter(out)) for out in body(stage).get("outs", [])]


def test_a_model_is_named_in_params_yaml_alone():
    models = yaml.safe_load((ROOT / "params.yaml").read_text())["models"]
    text = (ROOT / "dvc.yaml").read_text()
    assert not [name for name in models if name in text]

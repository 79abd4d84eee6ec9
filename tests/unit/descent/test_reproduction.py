"""A second run is identical, different, or on another processor within tolerances."""

import subprocess

import pandas as pd
import pytest
import yaml

from descent import reproduction
from descent.reproduction import Outputs, compare_outputs, other_bytes, read_outputs, report
from descent.timings import processor

DIGESTS = {"models/m/model.keras": "a", "models/m/history.csv": "b", "reports/report.md": "c"}


def table(accuracy: float = 0.9, loss: float = 0.5, status: str = "learned") -> pd.DataFrame:
    row = {"study": "s", "model": "m", "status": status}
    return pd.DataFrame([row | {"test_accuracy_mean": accuracy, "test_loss_mean": loss}])


def outputs(digests=DIGESTS, **numbers) -> Outputs:
    return Outputs(dict(digests), table(**numbers))


def test_the_same_outputs_are_identical():
    verdict = compare_outputs(outputs(), outputs())
    assert (verdict.compared, verdict.others, verdict.means_agree) == (3, {}, True) and verdict.reproduced


@pytest.mark.parametrize(
    ("digests", "others", "complete"),
    [
        (DIGESTS | {"models/m/model.keras": "x"}, {"models/m/model.keras": "differs"}, True),
        ({name: DIGESTS[name] for name in list(DIGESTS)[1:]}, {"models/m/model.keras": "missing"}, False),
        (
            DIGESTS | {"models/m/model.keras": "x", "reports/other.svg": "n"},
            {"models/m/model.keras": "differs", "reports/other.svg": "new"},
            False,
        ),
    ],
)
def test_another_output_is_reported_by_its_path(digests, others, complete):
    verdict = compare_outputs(outputs(), outputs(digests))
    assert (verdict.others, verdict.reproduced) == (others, complete)


@pytest.mark.parametrize(
    ("numbers", "agree"),
    [
        ({"accuracy": 0.905, "loss": 0.51}, True),
        ({"accuracy": 0.92}, False),
        ({"loss": 0.6}, False),
        ({"status": "stalled"}, False),
    ],
)
def test_means_agree_within_tolerances(numbers, agree):
    assert compare_outputs(outputs(), outputs(**numbers)).means_agree is agree


def test_a_mean_that_is_missing_in_one_run_alone_does_not_agree():
    missing = float("nan")
    assert compare_outputs(outputs(loss=missing), outputs(loss=missing)).means_agree
    assert not compare_outputs(outputs(), outputs(loss=missing)).means_agree
    assert not compare_outputs(outputs(loss=missing), outputs()).means_agree


def test_the_means_of_a_diverged_model_may_differ():
    """They depend on the last bits of the processor."""
    first, second = (outputs(status="diverged", loss=loss) for loss in (37.0, 12.0))
    assert compare_outputs(first, second).means_agree


def test_the_report_has_the_commit_the_machine_and_what_is_not_identical():
    text = report(compare_outputs(outputs(), outputs()), "abc123")
    assert text.startswith("Reproduced to the byte: 3 of 3 outputs are identical.\nCommit abc123, on ")
    assert f"on {processor()}, with python " in text and len(text.splitlines()) == 2
    differs = DIGESTS | {"models/m/model.keras": "x"}
    text = report(compare_outputs(outputs(), outputs(differs, accuracy=0.5)), "abc123")
    assert text.startswith("NOT reproduced: 2 of 3") and text.endswith("\nmodels/m/model.keras: differs")
    text = report(compare_outputs(outputs(), outputs(differs)), "abc123")
    assert "the means agree within 1% (accuracies) and 10% (losses): 2 of 3 outputs" in text


def test_outputs_are_those_in_the_lock_also_if_git_does_not_keep_them(tmp_path):
    (tmp_path / "reports").mkdir()
    lock = "stages: {train: {outs: [{path: models/m, md5: a}]}, explorer: {outs: [{path: reports/x.html, md5: b}]}}"
    (tmp_path / "dvc.lock").write_text(lock)
    table().to_csv(tmp_path / "reports" / "comparison.csv")
    (tmp_path / "reports" / "benchmark.csv").write_text("of another command")
    assert read_outputs(tmp_path).digests == {"models/m": "a", "reports/x.html": "b"}


def test_verify_runs_in_a_clone_of_the_repository_around_a_subfolder(tmp_path, monkeypatch):
    course = tmp_path / "course"
    course.mkdir()
    (course / "params.yaml").touch()
    commit(tmp_path)
    monkeypatch.chdir(course)
    ran = []
    monkeypatch.setattr(reproduction, "_run_again", lambda clone: ran.append([*clone.iterdir()]))
    monkeypatch.setattr(reproduction, "read_outputs", lambda clone: outputs())
    assert reproduction.verify()[0].reproduced
    ((params,),) = ran
    assert params.parts[-2:] == ("course", "params.yaml") and tmp_path not in params.parents


def commit(folder):
    for command in ("init", "add .", "-c user.name=T -c user.email=t@example.org commit -m Run"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True, capture_output=True)


def lock(code: str = "c", out: str = "m", table: str = "t") -> str:
    train = {"cmd": "train", "deps": [{"path": "code", "md5": code}], "outs": [{"path": "model", "md5": out}]}
    report = {"cmd": "report", "deps": train["outs"], "outs": [{"path": "table", "md5": table}]}
    return yaml.safe_dump({"schema": "2.0", "stages": {"train": train, "report": report}})


def test_other_bytes_from_the_same_inputs_are_named_by_their_stage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert other_bytes() == ""
    (tmp_path / "dvc.lock").write_text(lock())
    commit(tmp_path)
    assert other_bytes() == ""
    (tmp_path / "dvc.lock").write_text(lock(code="x", out="n"))
    assert other_bytes() == ""
    (tmp_path / "dvc.lock").write_text(lock(out="n", table="u"))
    assert other_bytes().startswith("train: other bytes than in the last commit, from the same inputs")
    (tmp_path / "dvc.lock").write_text("<<<<<<< ours")
    assert other_bytes() == ""

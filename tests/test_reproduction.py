"""A second run is told identical, a clock, or different, and on another processor held to tolerances."""

import pandas as pd
import pytest

from stages.core.reproduction import Outputs, as_markdown, outputs, verdict

HASHES = {"models/m/model.keras": "a", "models/m/timing.json": "b", "reports/timing.svg": "c"}


def table(accuracy: float = 0.9, loss: float = 0.5, status: str = "learned") -> pd.DataFrame:
    row = {"study": "s", "model": "m", "status": status}
    return pd.DataFrame([row | {"test_accuracy_mean": accuracy, "test_loss_mean": loss}])


def run(hashes=HASHES, processor="A", **numbers) -> Outputs:
    return Outputs(dict(hashes), table(**numbers), {processor})


def words(again: Outputs) -> dict[str, str]:
    found = verdict(run(), again).outputs
    return dict(zip(found.output, found["second run"], strict=True))


def test_the_same_is_reproduced():
    assert verdict(run(), run()).reproduced


def test_a_clock_may_differ():
    again = run(HASHES | {"models/m/timing.json": "x", "reports/timing.svg": "y"})
    assert words(again) == {
        "models/m/model.keras": "identical",
        "models/m/timing.json": "clock",
        "reports/timing.svg": "clock",
    }
    assert verdict(run(), again).reproduced


@pytest.mark.parametrize(
    ("hashes", "word"),
    [
        (HASHES | {"models/m/model.keras": "x"}, "differs"),
        ({"models/m/timing.json": "b"}, "missing"),
        (HASHES | {"reports/other.svg": "n"}, "new"),
    ],
)
def test_anything_else_may_not(hashes, word):
    assert word in words(run(hashes)).values()
    assert not verdict(run(), run(hashes)).reproduced


def test_another_processor_is_held_to_tolerances_instead():
    other = HASHES | {"models/m/model.keras": "x"}
    assert verdict(run(), run(other, "B", accuracy=0.905, loss=0.51)).reproduced
    assert not verdict(run(), run(other, "B", accuracy=0.92)).reproduced
    assert not verdict(run(), run(other, "B", loss=0.6)).reproduced
    assert not verdict(run(), run(other, "B", status="stalled")).reproduced
    assert not verdict(run(), run(other, "A", accuracy=0.905)).reproduced
    assert not verdict(run(), run({"models/m/model.keras": "x"}, "B")).reproduced, "outputs are missing"


def test_the_record_names_commit_machine_versions_and_every_output():
    text = as_markdown(verdict(run(), run()), "abc123", "A 1", {"keras": "3"})
    assert "Reproduced: 3 identical." in text
    assert "Commit abc123, on A 1, with keras 3." in text
    assert all(f"| {path} | identical |" in text for path in HASHES)


def test_what_the_pipeline_did_not_make_is_left_out(tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "dvc.lock").write_text(
        "stages: {train: {outs: [{path: models/m, md5: a}, {path: reports/x, md5: b}]}}"
    )
    for name in ("x", "benchmark.csv"):
        (tmp_path / "reports" / name).write_text(name)
    table().to_csv(tmp_path / "reports" / "comparison.csv")
    (tmp_path / "reports" / "timing.csv").write_text("processor\nA\n")
    found = outputs(tmp_path)
    assert sorted(found.hashes) == ["models/m", "reports/comparison.csv", "reports/timing.csv", "reports/x"]
    assert found.processors == {"A"}

"""The model to serve is the one that the report calls best."""

from pathlib import Path

import pandas as pd
import pytest

from stages.core.mirror import registry
from stages.core.mirror.record import ModelRecord, RunRecord
from stages.core.mirror.series import Point
from stages.core.report import comparison

CASES = {
    "the most accurate": {"a": ("learned", 0.8, 0.5), "b": ("learned", 0.9, 0.6)},
    "of equals the lower loss": {"a": ("learned", 0.9, 0.5), "b": ("learned", 0.9, 0.4)},
    "of equals in all the first": {"a": ("learned", 0.9, 0.5), "b": ("learned", 0.9, 0.5)},
    "never one that diverged or stalled": {"a": ("diverged", 0.9, 0.1), "b": ("undertrained", 0.2, 2.0)},
    "nobody": {"a": ("diverged", 0.9, 0.1), "b": ("stalled", 0.9, 0.1)},
}


def record(name: str, status: str, accuracy: float, loss: float) -> ModelRecord:
    points = [
        Point("validation_accuracy_mean", accuracy, 1, 0),
        Point("validation_loss_mean", loss, 1, 0),
    ]
    return ModelRecord(name, RunRecord(name, {}, {"status": status}, points, 0, 0), {}, Path(), {}, "")


@pytest.mark.parametrize("case", CASES)
def test_registry_and_report_agree_on_the_best(case):
    models = CASES[case]
    served = registry.best([record(name, *ends) for name, ends in models.items()])
    columns = ["status", "validation_accuracy_mean", "validation_loss_mean"]
    rows = pd.DataFrame.from_dict(models, orient="index", columns=columns).rename_axis("model").reset_index()
    assert (served and served.name) == comparison.best(rows)

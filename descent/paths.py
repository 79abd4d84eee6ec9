"""Every path that the pipeline reads or writes, relative to the repository's root."""

from pathlib import Path

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
ARRAYS = Path("data/arrays")
DATASET = Path("data/dataset.json")
"""Title and class names of the dataset: what only readers need."""
SWEEP = Path("data/sweep")
"""The sweep's finished runs, and the planes in which the explorer draws their trajectories."""
MODELS = Path("models")
TUNED = MODELS / "tuned"
"""The results of the models that are trained at the sweep's best learning rates."""
REPORTS = Path("reports")
COMPARISON = REPORTS / "comparison.csv"
SWEEP_TABLE = REPORTS / "sweep.csv"
RATES = REPORTS / "rates.json"
"""The learning rate of each tuned model."""
EXPLORER = REPORTS / "explorer.html"
FIGURES = REPORTS / "figures"
TIMINGS = Path("timings")
"""Times are no results: this folder is in neither git nor DVC."""


def timing(stage: str) -> Path:
    """Return the file with the times of a stage, such as `train@baseline`, on this machine."""
    return TIMINGS / f"{stage}.json"

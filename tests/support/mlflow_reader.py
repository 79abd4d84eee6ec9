"""The content of a store, read with MLflow's own client."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from mlflow import MlflowClient


class Reader:
    """All runs of a repository's database."""

    def __init__(self, folder: Path, uri: str | None = None):
        """The database is mlflow.db in `folder` unless `uri` says otherwise."""
        self.client = MlflowClient(uri or f"sqlite:///{folder}/mlflow.db")

    def runs(self, condition: str = "") -> list[Any]:
        """Every active run for which a filter holds."""
        experiments = [one.experiment_id for one in self.client.search_experiments()]
        return list(self.client.search_runs(experiments, condition, max_results=50_000))

    def stage(self, name: str, condition: str = "tags.in_dvc_lock = 'yes'") -> Any:
        """The one run of a stage for which a filter holds."""
        found = [run for run in self.stages(name, condition)]
        assert len(found) == 1, [run.info.run_name for run in found]
        return found[0]

    def stages(self, name: str, condition: str = "") -> list[Any]:
        """The runs of a stage, without child runs."""
        conditions = " and ".join(one for one in (f"tags.`dvc.stage` = '{name}'", condition) if one)
        return [run for run in self.runs(conditions) if "mlflow.parentRunId" not in run.data.tags]

    def children(self, run: Any) -> dict[str, Any]:
        """The child runs by their key."""
        found = self.runs(f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
        return {child.data.tags["dvc.child"]: child for child in found}

    def curve(self, run: Any, metric: str) -> list[tuple[int, float]]:
        """The points of a metric, the newest where a step has several."""
        history = self.client.get_metric_history(run.info.run_id, metric)
        return sorted({one.step: one.value for one in sorted(history, key=lambda one: one.timestamp)}.items())

    @property
    def folder(self) -> Path:
        """Where the database is."""
        return Path(self.client.tracking_uri.removeprefix("sqlite:///")).parent

    def sql(self, statement: str, *values: str) -> None:
        """Change the database behind MLflow's back."""
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as connection, connection:
            assert connection.execute(statement, values).rowcount

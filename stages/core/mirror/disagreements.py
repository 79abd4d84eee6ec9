"""Where a run in MLflow is not what a record of the files says."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stages.core.mirror import served
from stages.core.mirror.artifacts import datasets, faults_of_model
from stages.core.mirror.record import ModelRecord, RunRecord
from stages.core.mirror.store import Store


class Disagreement(NamedTuple):
    """One line of the table: what it is about, what DVC's files say, what MLflow says."""

    subject: str
    files: str
    mlflow: str


def of_model(store: Store, record: ModelRecord, run: Any, seeds: Mapping[int, Any]) -> list[Disagreement]:
    """How a model's `run` and its seeds' runs (mlflow.entities.Run, by seed) differ from the record."""
    found = [*_of_run(store, record.model, run), *_of_artifacts(store, record, run)]
    for seed, wanted in record.seeds.items():
        if seed in seeds:
            found += _of_run(store, wanted, seeds[seed])
        else:
            found.append(Disagreement(wanted.name, "trained", "no run"))
    return found


def _of_run(store: Store, record: RunRecord, run: Any) -> Iterator[Disagreement]:
    if run.info.status != "FINISHED":
        yield Disagreement(record.name, "trained", run.info.status.lower())
    yield from _of_values(record.name, record.params, run.data.params)
    curves = _curves(record)
    for key in sorted(curves.keys() | run.data.metrics.keys()):
        points = store.client.get_metric_history(run.info.run_id, key)
        yield from _of_curve(record.name, key, curves.get(key, {}), points)


def _of_values(name: str, wanted: Mapping, held: Mapping) -> Iterator[Disagreement]:
    for key in sorted(wanted.keys() | held.keys()):
        ours, theirs = wanted.get(key, "none"), held.get(key, "none")
        if ours != theirs:
            yield Disagreement(f"{name}: parameter {key}", ours, theirs)


def _of_curve(name: str, key: str, wanted: dict[int, float], points: list) -> Iterator[Disagreement]:
    subject, held = f"{name}: {key}", {point.step: point.value for point in points}
    if len(points) != len(wanted):
        yield Disagreement(subject, f"{len(wanted)} values", f"{len(points)} values")
    elif held != wanted:
        epoch = min(epoch for epoch in wanted.keys() | held.keys() if wanted.get(epoch) != held.get(epoch))
        ours, theirs = wanted.get(epoch, "none"), held.get(epoch, "none")
        yield Disagreement(f"{subject}, epoch {epoch}", str(ours), str(theirs))


def _curves(record: RunRecord) -> dict[str, dict[int, float]]:
    curves: dict[str, dict[int, float]] = {}
    for point in record.points:
        curves.setdefault(point.key, {})[point.epoch] = point.value
    return curves


def _of_artifacts(store: Store, record: ModelRecord, run: Any) -> Iterator[Disagreement]:
    name = record.name
    if faults := faults_of_model(store, run.info.run_id, record):
        yield Disagreement(f"{name}: artifacts", "written", ", ".join(faults))
    wanted, logged = (_names(inputs) for inputs in (datasets(record), run.inputs.dataset_inputs))
    if wanted != logged:
        yield Disagreement(f"{name}: datasets", wanted, logged or "none")
    models = [output.model_id for output in run.outputs.model_outputs]
    if not any(served.is_whole(store, model, record) for model in models):
        yield Disagreement(f"{name}: model", record.model.tags["dvc.md5"], "none")


def _names(inputs: list) -> str:
    return ", ".join(sorted(f"{entry.dataset.name} {entry.dataset.digest}" for entry in inputs))

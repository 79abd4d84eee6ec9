"""The model to serve: the best by validation accuracy, registered once, under the alias `champion`."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from stages.core import outcome
from stages.core.mirror import served
from stages.core.mirror.record import ModelRecord
from stages.core.mirror.store import Store

NAME = "mnist-digits"
ALIAS = "champion"
DESCRIPTION = "Handwritten digits: raw pixels (n, 28, 28) uint8 in, ten probabilities (n, 10) out."
LOGGED = "models:/"
"""How the source of a version begins that was logged by a run; the id follows."""


def best(records: Iterable[ModelRecord]) -> ModelRecord | None:
    """The best of all models, by the rule of the report (report.comparison.best); None if none is fit."""
    fit = [record for record in records if record.model.tags["status"] not in outcome.UNFIT]
    return max(fit, key=_rank, default=None)


def _rank(record: ModelRecord) -> tuple[float, float]:
    values = {point.key: point.value for point in record.model.points}  # the last epoch's stay
    return values.get("validation_accuracy_mean", -math.inf), -values.get("validation_loss_mean", math.inf)


def champion(store: Store) -> Any | None:
    """The version (mlflow.entities.model_registry.ModelVersion) that is served now; None if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_model_version_by_alias(NAME, ALIAS)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def agrees(store: Store, held: Any | None, record: ModelRecord | None) -> bool:
    """Whether the champion `held` is as it should be if `record` is the best model, None if none is fit."""
    return held is None if record is None else held is not None and serves(store, held, record)


def set_champion(store: Store, record: ModelRecord | None, run: Any) -> list[str]:
    """Serve `record`, which MLflow shows in `run`, or nothing if it is None; what was done, in lines.

    The same bytes of the same model make no second version, and a champion that stays one is left alone.
    """
    if agrees(store, champion(store), record):
        return []
    if record is None:
        store.client.delete_registered_model_alias(NAME, ALIAS)
        return [f"{NAME}: no champion, as no model learned"]
    version = _version(store, record) or _register(store, record, run)
    store.client.set_registered_model_alias(NAME, ALIAS, version)
    return [f"{NAME}: version {version} is the champion, {record.name}"]


def serves(store: Store, version: Any, record: ModelRecord) -> bool:
    """Whether a registered version holds the very bytes of a model, and still has them."""
    keys = ("model", "dvc.md5")
    if any(version.tags.get(key) != record.model.tags[key] for key in keys):
        return False
    return served.is_whole(store, version.source.removeprefix(LOGGED), record)


def _version(store: Store, record: ModelRecord) -> str | None:
    versions = store.client.search_model_versions(f"name = '{NAME}'")
    return next((version.version for version in versions if serves(store, version, record)), None)


def _register(store: Store, record: ModelRecord, run: Any) -> str:
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(NAME, description=DESCRIPTION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model = store.client.get_logged_model(run.outputs.model_outputs[-1].model_id)
    tags: Mapping[str, str] = {key: record.model.tags[key] for key in ("model", "status", "dvc.md5")}
    version = store.client.create_model_version(
        NAME,
        LOGGED + model.model_id,
        run.info.run_id,
        tags,
        description=record.model.tags["mlflow.note.content"],
        model_id=model.model_id,
    )
    return version.version

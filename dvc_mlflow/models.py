"""Models: the bytes of a stage's output as an MLflow model, and the registry's aliases."""

import filecmp
import json
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dvc_mlflow.expected import Expectation, ExpectedStage, metric_name
from dvc_mlflow.provenance import installed
from dvc_mlflow.repository import files_in
from dvc_mlflow.store import UPLOAD_S, Store

LOGGED = "models:/"
"""The beginning of the source of a version that a run logged; the model's id follows."""


def log(store: Store, run: str, experiment: str, expected: ExpectedStage) -> None:
    """Log a stage's model as an output of `run`, without loading it: the bytes are DVC's."""
    from mlflow.entities import LoggedModelOutput

    assert expected.mapping.model and expected.model_path
    logged = store.client.create_logged_model(experiment, "model", run, {"dvc.stage": expected.name})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        if expected.mapping.model.flavour == "keras":
            _write_keras(folder, expected.model_path, run, logged.model_id)
        else:
            shutil.copytree(expected.model_path, folder)
        store.client.log_model_artifacts(logged.model_id, str(folder))
    store.client.finalize_logged_model(logged.model_id, "READY")
    store.client.log_outputs(run, [LoggedModelOutput(logged.model_id, 0)])


def _write_keras(folder: Path, file: Path, run: str, model_id: str) -> None:
    """Lay out a folder as `mlflow.keras.log_model` does, around a copy of `file`.

    MLflow's function would load TensorFlow, and save the network anew in other bytes.
    """
    import yaml
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema

    (folder / "data").mkdir(parents=True)
    shutil.copyfile(file, folder / "data/model.keras")
    (folder / "data/keras_module.txt").write_text("keras")
    versions = {name: installed(name) for name in ("keras", "mlflow", "numpy", "tensorflow")}
    pinned = "".join(f"{name}=={version}\n" for name, version in versions.items() if version)
    (folder / "requirements.txt").write_text(pinned)
    python = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(python))
    keras = versions["keras"] or json.loads(zipfile.ZipFile(file).read("metadata.json"))["keras_version"]
    model, loader, code = Model(run_id=run, model_id=model_id), "mlflow.keras", None
    given, made = keras_interface(file)
    if given:
        model.signature = ModelSignature(Schema([given]), Schema([made]))
    if given and given.type.kind in "iu":  # typed as an integer, MLflow's server would cut 0.5 to 0
        model.signature = ModelSignature(outputs=Schema([made]))
        model.metadata = {"input": str(given)}
        loader, code = "dvc_mlflow_served", "code"
        (folder / code).mkdir()
        shutil.copyfile(Path(__file__).with_name("served.py"), folder / code / f"{loader}.py")
    about = {"data": "data", "keras_version": keras, "keras_backend": "tensorflow"}
    model.add_flavor("keras", **about, save_exported_model=False)
    pyfunc.add_to_model(model, loader_module=loader, code=code, python_env="python_env.yaml")
    model.save(str(folder / "MLmodel"))


def keras_interface(file: Path) -> tuple[Any, Any]:
    """Read input and output of a Sequential network from its `.keras` archive; None twice for any other."""
    import numpy as np
    from mlflow.types import TensorSpec

    config = json.loads(zipfile.ZipFile(file).read("config.json"))
    layers = config["config"].get("layers", [])
    units = [layer["config"]["units"] for layer in layers if layer["class_name"] == "Dense"]
    sequential = config["class_name"] == "Sequential" and "batch_shape" in layers[0]["config"]
    if not sequential or not units or layers[-1]["class_name"] not in ("Dense", "Softmax", "Activation"):
        return None, None
    shape = [-1, *layers[0]["config"]["batch_shape"][1:]]
    given = TensorSpec(np.dtype(layers[0]["config"]["dtype"]), tuple(size or -1 for size in shape))
    return given, TensorSpec(np.dtype(np.float32), (-1, units[-1]))


def logged_id(run: Any) -> str | None:
    """Return the id of the model that a run logged."""
    outputs = run.outputs.model_outputs if run.outputs else []
    return outputs[-1].model_id if outputs else None


def faults(store: Store, run: Any, expected: ExpectedStage) -> list[str]:
    """List what is wrong with a run's model: it can be loaded, and has exactly the bytes of the stage's."""
    from mlflow.exceptions import MlflowException

    file, model = expected.model_path, logged_id(run)
    if not file:
        return []
    try:
        place = store.client.get_logged_model(model).artifact_location if model else None
    except MlflowException:
        place = None
    if not place:
        return ["model missing"]
    needed: dict[str, Path | None] = {"MLmodel": None}  # MLflow enters the run and the model's id
    if file.is_dir():
        needed = {**files_in(file), **needed}
    else:
        needed |= dict.fromkeys(("requirements.txt", "python_env.yaml", "data/keras_module.txt"))
        needed["data/model.keras"] = file
    return ["model changed or incomplete"] if changed(store, place, needed) else []


def changed(store: Store, uri: str, needed: Mapping[str, Path | None]) -> list[str]:
    """List the artifacts below `uri` that are missing, or have other bytes than a file if one is given."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    wrong = []
    with tempfile.TemporaryDirectory() as temporary, store.deadline(UPLOAD_S):
        try:
            folder = Path(download_artifacts(uri, dst_path=temporary if store.remote else None))
        except (MlflowException, OSError):
            folder = Path(temporary)
        for name, path in needed.items():
            if not (folder / name).is_file():
                wrong.append(f"artifact {name}: missing")
            elif path and not filecmp.cmp(folder / name, path, shallow=False):
                wrong.append(f"artifact {name}: changed")
    return wrong


def best_stages(expectation: Expectation) -> dict[tuple[str, str], ExpectedStage | None]:
    """Choose who should bear each alias, by registered name and alias."""
    chosen: dict[tuple[str, str], ExpectedStage | None] = {}
    for stage in expectation.stages:
        model = stage.mapping.model
        if model and model.register_as and model.alias:
            leader = chosen.setdefault((model.register_as, model.alias), None)
            if (rank := _rank(stage)) is not None and (leader is None or rank > (_rank(leader) or 0)):
                chosen[model.register_as, model.alias] = stage
    return chosen


def unknown_names(expectation: Expectation, name: str, alias: str) -> list[str]:
    """List the names in the rules of an alias that no stage has, as when they are misspelled."""
    asked, known = set(), set()
    for stage in expectation.stages:
        model = stage.mapping.model
        if model and model.best and (model.register_as, model.alias) == (name, alias):
            asked |= {metric_name(stage.mapping, one) for one in (model.best.metric, *model.best.require)}
            known |= {one.removesuffix("_mean") for one in stage.final()} | {*stage.final(), *stage.tags}
    return sorted(asked - known)


def _rank(stage: ExpectedStage) -> float | None:
    """Return a number that is larger for a better model, None if it does not meet its condition."""
    rule = stage.mapping.model and stage.mapping.model.best
    if not rule:
        return 0
    final, name = stage.final(), metric_name(stage.mapping, rule.metric)
    value = final.get(name, final.get(f"{name}_mean"))
    required = {metric_name(stage.mapping, key): word for key, word in rule.require.items()}
    if value is None or any(stage.tags.get(key) != word for key, word in required.items()):
        return None
    return value if rule.mode == "max" else -value


def bearer(store: Store, name: str, alias: str) -> Any | None:
    """Return the model version that bears an alias."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def is_of(version: Any | None, run: Any | None) -> bool:
    """Return whether a version is of the model that a run logged; true for none of either."""
    return bool((version and version.source) == (run and f"{LOGGED}{logged_id(run)}"))


def kind(stage: ExpectedStage) -> dict[str, str]:
    """Describe, as tags of a model version, what the next must share with it to take over its alias."""
    from mlflow.models import Model

    assert stage.mapping.model and stage.model_path
    if stage.mapping.model.flavour == "keras":
        interface = str(keras_interface(stage.model_path))
    else:
        interface = str(Model.load(str(stage.model_path)).signature)
    data = {name: digest for name, digest, *_ in stage.datasets}
    return {"dvc.datasets": json.dumps(data, sort_keys=True), "dvc.interface": interface}


def differs_in_kind(version: Any, stage: ExpectedStage) -> str | None:
    """Name what keeps a stage's model from taking over the alias that `version` bears."""
    names = {"dvc.datasets": "other data", "dvc.interface": "other inputs or outputs"}
    held, own = version.tags, kind(stage)
    return next((name for tag, name in names.items() if held.get(tag, own[tag]) != own[tag]), None)


def give_alias(store: Store, name: str, alias: str, stage: ExpectedStage | None, run: Any) -> str:
    """Let the model of a stage's run, or nobody, bear an alias; say so. A run's is registered once."""
    if stage is None:
        store.client.delete_registered_model_alias(name, alias)
        return f"{name}@{alias}: nobody, no model meets the condition"
    versions = store.client.search_model_versions(f"run_id = '{run.info.run_id}'")
    found = next((one.version for one in versions if one.name == name), None)
    found = found or _register(store, name, stage, run)
    store.client.set_registered_model_alias(name, alias, found)
    return f"{name}@{alias}: version {found}, {stage.name}"


def _register(store: Store, name: str, stage: ExpectedStage, run: Any) -> str:
    from mlflow.exceptions import MlflowException

    assert stage.mapping.model
    about = stage.mapping.model.description
    try:
        store.client.create_registered_model(name, description=about)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    own = {key: value for key, value in stage.tags.items() if not key.startswith(("dvc.", "mlflow."))}
    tags, model = {**own, **kind(stage), "dvc.stage": stage.name}, logged_id(run)
    made = store.client.create_model_version(
        name, f"{LOGGED}{model}", run.info.run_id, tags, description=about, model_id=model
    )
    return str(made.version)

"""Models: the bytes of a stage's output as an MLflow model, and the registry's aliases."""

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
from dvc_mlflow.repository import digest, files_in
from dvc_mlflow.store import UPLOAD_S, Store

NAME = "model"
"""The name that every logged model has."""
MD5 = "dvc.md5"
"""The tag with the md5 of the model's file or folder, as `digest` returns it."""
LOGGED = "models:/"
"""The beginning of the source of a version that was logged by a run; the model's id follows."""


def log(store: Store, run: str, experiment: str, expected: ExpectedStage) -> None:
    """Log a stage's model as an output of `run`, without loading it: the bytes are DVC's."""
    from mlflow.entities import LoggedModelOutput

    assert expected.mapping.model and expected.model_path
    tags = {MD5: digest(expected.model_path), "dvc.stage": expected.name}
    logged = store.client.create_logged_model(experiment, NAME, run, tags)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, NAME)
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


def faults(store: Store, run: Any, expected: ExpectedStage) -> list[str]:
    """List what is wrong with the logged model of a run."""
    if not expected.model_path:
        return []
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        return ["model missing"]
    complete = _is_complete(store, outputs[-1].model_id, expected.model_path)
    return [] if complete else ["model changed or incomplete"]


def _is_complete(store: Store, model_id: str, file: Path) -> bool:
    """Return whether a logged model can be loaded and holds exactly the bytes of `file`."""
    from mlflow.exceptions import MlflowException

    needed: dict[str, Path | None] = {"MLmodel": None}  # MLflow enters the run and the model's id
    if file.is_dir():
        needed = {**files_in(file), **needed}
    else:
        needed |= dict.fromkeys(("requirements.txt", "python_env.yaml", "data/keras_module.txt"))
        needed["data/model.keras"] = file
    try:
        place = store.client.get_logged_model(model_id).artifact_location
    except MlflowException:
        return False
    return not changed(store, place, needed)


def changed(store: Store, uri: str, needed: Mapping[str, Path | None]) -> list[str]:
    """List the artifacts below `uri` that are missing, or have other bytes than a file if one is given."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as temporary, store.deadline(UPLOAD_S):
        try:
            folder = Path(download_artifacts(uri, dst_path=temporary if store.remote else None))
        except (MlflowException, OSError):
            folder = Path(temporary)
        missing = [f"artifact {name}: missing" for name in needed if not (folder / name).is_file()]
        there = ((folder / name, path, name) for name, path in needed.items() if (folder / name).is_file())
        return missing + [
            f"artifact {name}: changed" for copy, path, name in there if path and digest(copy) != digest(path)
        ]


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


def describe_version(version: Any | None) -> str:
    """Describe who bears an alias."""
    return f"version {version.version}, {version.tags.get('dvc.stage')}" if version else "nobody"


def holds(store: Store, version: Any, stage: ExpectedStage) -> bool:
    """Return whether a model version holds the bytes of a stage's model, and still has them."""
    assert stage.model_path
    same = version.tags.get("dvc.stage") == stage.name and version.tags.get(MD5) == digest(stage.model_path)
    return same and _is_complete(store, version.source.removeprefix(LOGGED), stage.model_path)


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
    """Let a stage's model, or nobody, bear an alias; say so. The same bytes are registered once."""
    if stage is None:
        store.client.delete_registered_model_alias(name, alias)
        return f"{name}@{alias}: nobody, no model meets the condition"
    assert stage.model_path
    versions = store.client.search_model_versions(f"tags.`{MD5}` = '{digest(stage.model_path)}'")
    found = next((one.version for one in versions if one.name == name and holds(store, one, stage)), None)
    found = found or _register(store, name, stage, run)
    store.client.set_registered_model_alias(name, alias, found)
    return f"{name}@{alias}: version {found}, {stage.name}"


def _register(store: Store, name: str, stage: ExpectedStage, run: Any) -> str:
    from mlflow.exceptions import MlflowException

    assert stage.mapping.model and stage.model_path
    about = stage.mapping.model.description
    try:
        store.client.create_registered_model(name, description=about)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model_id = run.outputs.model_outputs[-1].model_id
    own = {key: value for key, value in stage.tags.items() if not key.startswith(("dvc.", "mlflow."))}
    tags = {**own, **kind(stage), MD5: digest(stage.model_path), "dvc.stage": stage.name}
    made = store.client.create_model_version(
        name, LOGGED + model_id, run.info.run_id, tags, description=about, model_id=model_id
    )
    return str(made.version)

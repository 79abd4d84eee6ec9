"""Models: the bytes of a stage's output as an MLflow model, and which of them bears the registry's alias."""

import hashlib
import json
import platform
import shutil
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dvc_mlflow.expected import Expectation, ExpectedStage
from dvc_mlflow.lock import digest
from dvc_mlflow.store import Store

NAME = "model"
MD5 = "dvc.md5"
LOGGED = "models:/"
"""How the source of a version begins that was logged by a run; the model's id follows."""


def md5(path: Path) -> str:
    """Return the md5 of a model's file, or over the files of its folder."""
    if path.is_file():
        return digest(path)
    files = {
        file.relative_to(path).as_posix(): digest(file) for file in sorted(path.rglob("*")) if file.is_file()
    }
    return hashlib.md5(json.dumps(files, sort_keys=True).encode()).hexdigest()


def log(store: Store, run: str, experiment: str, expected: ExpectedStage) -> None:
    """Log a stage's model as an output of `run`, without loading it: the bytes are DVC's."""
    from mlflow.entities import LoggedModelOutput

    assert expected.model and expected.model_path
    tags = {MD5: md5(expected.model_path), "dvc.stage": expected.stage}
    logged = store.client.create_logged_model(experiment, NAME, run, tags)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, NAME)
        if expected.model.flavour == "keras":
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
    from mlflow.models import Model

    (folder / "data").mkdir(parents=True)
    shutil.copyfile(file, folder / "data" / "model.keras")
    (folder / "data" / "keras_module.txt").write_text("keras")
    pinned = [
        f"{name}=={held}" for name in ("keras", "mlflow", "numpy", "tensorflow") if (held := _version(name))
    ]
    (folder / "requirements.txt").write_text("\n".join(pinned) + "\n")
    python = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(python))
    keras = _version("keras") or json.loads(zipfile.ZipFile(file).read("metadata.json"))["keras_version"]
    model = Model(run_id=run, model_id=model_id, signature=keras_signature(file))
    model.add_flavor(
        "keras", data="data", keras_version=keras, keras_backend="tensorflow", save_exported_model=False
    )
    pyfunc.add_to_model(model, loader_module="mlflow.keras", python_env="python_env.yaml")
    model.save(str(folder / "MLmodel"))


def keras_signature(file: Path) -> Any | None:
    """Read input and output of a Sequential network from its `.keras` archive; None for any other."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    config = json.loads(zipfile.ZipFile(file).read("config.json"))
    layers = config["config"].get("layers", [])
    if config["class_name"] != "Sequential" or not layers or "batch_shape" not in layers[0]["config"]:
        return None
    units = [layer["config"]["units"] for layer in layers if layer["class_name"] == "Dense"]
    last = layers[-1]["class_name"]
    if not units or last not in ("Dense", "Softmax", "Activation"):
        return None
    shape = [-1, *layers[0]["config"]["batch_shape"][1:]]
    pixels = TensorSpec(np.dtype(layers[0]["config"]["dtype"]), tuple(size or -1 for size in shape))
    return ModelSignature(Schema([pixels]), Schema([TensorSpec(np.dtype(np.float32), (-1, units[-1]))]))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def faults(store: Store, run: Any, expected: ExpectedStage) -> list[str]:
    """List what is wrong with the logged model of a run."""
    if not expected.model_path:
        return []
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        return ["model missing"]
    return (
        []
        if _is_complete(store, outputs[-1].model_id, expected.model_path)
        else ["model changed or incomplete"]
    )


def _is_complete(store: Store, model_id: str, file: Path) -> bool:
    """Whether a logged model can be loaded and holds exactly the bytes of `file`."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as temporary:
        try:
            place = store.client.get_logged_model(model_id).artifact_location
            local = Path(download_artifacts(place, dst_path=temporary if store.remote else None))
        except (MlflowException, OSError):
            return False
        needed = {"MLmodel": ""}
        if file.is_dir():
            needed |= {one.relative_to(file).as_posix(): md5(one) for one in file.rglob("*") if one.is_file()}
            needed["MLmodel"] = ""  # MLflow enters the run and the model's id
        else:
            needed |= dict.fromkeys(("requirements.txt", "python_env.yaml", "data/keras_module.txt"), "")
            needed["data/model.keras"] = md5(file)
        return all(
            (local / name).is_file() and due in ("", md5(local / name)) for name, due in needed.items()
        )


def best(expectation: Expectation) -> dict[tuple[str, str], ExpectedStage | None]:
    """Choose who should bear each alias, by registered name and alias."""
    chosen: dict[tuple[str, str], ExpectedStage | None] = {}
    for stage in expectation.stages:
        model = stage.model
        if model and model.register_as and model.alias:
            leader = chosen.setdefault((model.register_as, model.alias), None)
            if (rank := _rank(stage)) is not None and (leader is None or rank > (_rank(leader) or 0)):
                chosen[model.register_as, model.alias] = stage
    return chosen


def _rank(stage: ExpectedStage) -> float | None:
    """Return a number that is larger for a better model, None if it does not meet its condition."""
    rule = stage.model and stage.model.best
    if not rule:
        return 0
    final = stage.final()
    value = final.get(rule.metric, final.get(f"{rule.metric}_mean"))
    if value is None or any(stage.words.get(key) != word for key, word in rule.require.items()):
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


def described(version: Any | None) -> str:
    """Describe who bears an alias."""
    return f"version {version.version}, {version.tags.get('dvc.stage')}" if version else "nobody"


def is_due(store: Store, held: Any | None, stage: ExpectedStage | None) -> bool:
    """Whether an alias should move: `held` bears it, `stage` should."""
    return held is not None if stage is None else held is None or not _serves(store, held, stage)


def _serves(store: Store, held: Any, stage: ExpectedStage) -> bool:
    """Whether a model version holds the bytes of a stage's model, and still has them."""
    assert stage.model_path
    same = held.tags.get("dvc.stage") == stage.stage and held.tags.get(MD5) == md5(stage.model_path)
    return same and _is_complete(store, held.source.removeprefix(LOGGED), stage.model_path)


def differs_in_kind(store: Store, held: Any, run: Any) -> str | None:
    """Name what keeps the model of `run` from taking over an alias: other data, inputs or outputs."""
    from mlflow.exceptions import MlflowException
    from mlflow.models import get_model_info

    if not held.run_id:  # registered by hand
        return None
    try:
        before = store.client.get_run(held.run_id)
        data = [
            {(one.dataset.name, one.dataset.digest) for one in made_by.inputs.dataset_inputs}
            for made_by in (before, run)
        ]
        if data[0] and data[0] != data[1]:
            return "other data"
        ids = held.source.removeprefix(LOGGED), run.outputs.model_outputs[-1].model_id
        places = [store.client.get_logged_model(model_id).artifact_location for model_id in ids]
        signatures = [get_model_info(place).signature for place in places]
        return "other inputs or outputs" if signatures[0] != signatures[1] else None
    except (MlflowException, OSError):  # the one before is lost
        return None


def give_alias(store: Store, name: str, alias: str, stage: ExpectedStage | None, run: Any) -> str:
    """Let a stage's model, or nobody, bear an alias; say so. The same bytes are registered once."""
    if stage is None:
        store.client.delete_registered_model_alias(name, alias)
        return f"{name}@{alias}: nobody, no model meets the condition"
    versions = store.client.search_model_versions(f"name = '{name}'")
    found = next((one.version for one in versions if _serves(store, one, stage)), None)
    found = found or _register(store, name, stage, run)
    store.client.set_registered_model_alias(name, alias, found)
    return f"{name}@{alias}: version {found}, {stage.stage}"


def _register(store: Store, name: str, stage: ExpectedStage, run: Any) -> str:
    from mlflow.exceptions import MlflowException

    assert stage.model and stage.model_path
    about = stage.model.description
    try:
        store.client.create_registered_model(name, description=about)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model_id = run.outputs.model_outputs[-1].model_id
    tags = {MD5: md5(stage.model_path), "dvc.stage": stage.stage, **stage.words}
    source = LOGGED + model_id
    made = store.client.create_model_version(
        name, source, run.info.run_id, tags, description=about, model_id=model_id
    )
    return str(made.version)

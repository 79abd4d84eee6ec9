"""A trained model as MLflow keeps and serves it: the very bytes of model.keras, raw pixels in, no pickle."""

import platform
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from stages.core.mirror import lockfile
from stages.core.mirror.record import ModelRecord
from stages.core.mirror.store import Store

NAME = "model"
FILES = {"MLmodel", "requirements.txt", "python_env.yaml", "model.keras", "keras_module.txt"}
"""What `write_model` writes; without any of them MLflow cannot serve the model, or not as it was trained."""
LIBRARIES = ("keras", "mlflow", "numpy", "tensorflow")
"""What serving needs, pinned to what trained."""


def log_model(store: Store, run: str, record: ModelRecord) -> str:
    """Log models/<model>/model.keras as an MLflow model of `run`; its id.

    The folder is laid out as `mlflow.keras.log_model` does, which would however write the network
    anew, in other bytes than DVC's, and load TensorFlow to do so.
    """
    from mlflow.entities import LoggedModelOutput

    tags = {"dvc.md5": record.model.tags["dvc.md5"], "model": record.name}
    logged = store.client.create_logged_model(store.experiment, NAME, run, tags)
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), record.folder / "model.keras", run, logged.model_id)
        store.client.log_model_artifacts(logged.model_id, folder)
    store.client.finalize_logged_model(logged.model_id, "READY")
    store.client.log_outputs(run, [LoggedModelOutput(logged.model_id, 0)])
    return logged.model_id


def write_model(folder: Path, keras_file: Path, run: str | None = None, model_id: str | None = None) -> None:
    """Write an MLflow model with the `keras` flavor into `folder`, around a copy of `keras_file`."""
    from mlflow import pyfunc
    from mlflow.models import Model

    (folder / "data").mkdir()
    shutil.copyfile(keras_file, folder / "data" / "model.keras")
    (folder / "data" / "keras_module.txt").write_text("keras")
    (folder / "requirements.txt").write_text("\n".join(requirements()) + "\n")
    (folder / "python_env.yaml").write_text(yaml.safe_dump(_python_environment()))
    model = Model(run_id=run, model_id=model_id, signature=_signature())
    model.add_flavor(
        "keras",
        data="data",
        keras_version=version("keras"),
        keras_backend="tensorflow",
        save_exported_model=False,
    )
    pyfunc.add_to_model(model, loader_module="mlflow.keras", python_env="python_env.yaml")
    model.save(str(folder / "MLmodel"))


def is_whole(store: Store, model_id: str, record: ModelRecord) -> bool:
    """Whether all files of the logged model are there, and its model.keras is the record's to the byte."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        listed = [store.client.list_logged_model_artifacts(model_id, folder) for folder in (None, "data")]
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    if not FILES <= {Path(file.path).name for files in listed for file in files}:
        return False
    with tempfile.TemporaryDirectory() as folder:
        place = store.client.get_logged_model(model_id).artifact_location
        copy = download_artifacts(f"{place}/data/model.keras", dst_path=folder)
        return lockfile.matches(Path(copy), record.files["model.keras"])


def requirements() -> list[str]:
    """The pinned packages that a server of the model installs."""
    return [f"{library}=={version(library)}" for library in LIBRARIES]


def _python_environment() -> dict[str, Any]:
    return {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}


def _signature() -> Any:
    """Raw pixels (n, 28, 28) uint8 in, ten probabilities (n, 10) float32 out."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    pixels = TensorSpec(np.dtype(np.uint8), (-1, 28, 28))
    probabilities = TensorSpec(np.dtype(np.float32), (-1, 10))
    return ModelSignature(Schema([pixels]), Schema([probabilities]))

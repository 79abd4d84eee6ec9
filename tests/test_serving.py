"""The champion, served over HTTP from MLflow's registry by the very command that the README shows."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
from mlflow.models import Model

from stages.core.engine import network
from stages.core.params import read_params
from tests import mirrored

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def champion(digits, tmp_path_factory):
    """A repository whose champion is a network that has really learned the synthetic digits."""
    project = mirrored.trained(tmp_path_factory.mktemp("served") / "project")
    model = network.build(read_params(project.folder / "params.yaml").models["batch_8"], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(digits.train.images, digits.train.labels, batch_size=8, epochs=20, verbose=0)
    folder = project.folder / "models/batch_8"
    for path in ("model.keras", "replicates/seed_0.keras", "replicates/seed_1.keras"):
        network.save(model, folder / path)
    project.run("dvc", "commit", "-q", "-f", "train@batch_8")
    assert "the champion, batch_8" in project.run("python", "-m", "stages.sync").stdout
    return project


@pytest.fixture(scope="module")
def address(champion):
    """Where `mlflow models serve` answers, with pickles refused."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = "mlflow models serve -m models:/mnist-digits@champion --env-manager local --port".split()
    environment = champion.environment | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{champion.folder}/mlflow.db",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    with subprocess.Popen(
        [*command, str(port)], cwd=champion.folder, env=environment, start_new_session=True
    ) as server:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/ping", server)
        yield url
        os.killpg(server.pid, 15)


def wait_for(url: str, server: subprocess.Popen, patience: float = 120) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end and server.poll() is None:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.5)
    raise AssertionError(f"{url} does not answer")


def ask(address: str, images: np.ndarray) -> requests.Response:
    return requests.post(f"{address}/invocations", json={"inputs": images.tolist()}, timeout=60)


def test_raw_pixels_get_ten_probabilities_and_the_right_digits(address, digits):
    images, labels = digits.test.images[:50], digits.test.labels[:50]
    probabilities = np.array(ask(address, images).json()["predictions"])
    assert probabilities.shape == (50, 10)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.9


def test_what_is_served_are_the_bytes_that_dvc_holds(champion, address, digits):
    held = network.load(champion.folder / "models/batch_8/model.keras")
    images = digits.test.images[:5]
    predictions = ask(address, images).json()["predictions"]
    np.testing.assert_allclose(held.predict(images, verbose=0), predictions, rtol=1e-5)
    outs = {out["path"]: out["md5"] for out in champion.lock()["train@batch_8"]["outs"]}
    version = mirrored.client(champion).get_model_version_by_alias("mnist-digits", "champion")
    assert version.tags["dvc.md5"] == outs["models/batch_8/model.keras"]


@pytest.mark.parametrize("images", [np.zeros((1, 27, 28)), np.zeros((1, 784))])
def test_what_are_not_raw_pixels_is_refused(address, images):
    assert ask(address, images).status_code == 400


def test_the_model_states_its_signature_and_pins_its_requirements(champion):
    model = Model.load(logged(champion))
    (pixels,), (probabilities,) = model.signature.inputs.inputs, model.signature.outputs.inputs
    assert (pixels.type, pixels.shape) == (np.dtype("uint8"), (-1, 28, 28))
    assert (probabilities.type, probabilities.shape) == (np.dtype("float32"), (-1, 10))
    lines = (Path(logged(champion)) / "requirements.txt").read_text().split()
    assert sorted(line.partition("==")[0] for line in lines) == ["keras", "mlflow", "numpy", "tensorflow"]
    assert all("==" in line for line in lines)


def logged(champion) -> str:
    store = mirrored.client(champion)
    version = store.get_model_version_by_alias("mnist-digits", "champion")
    return store.get_logged_model(version.source.removeprefix("models:/")).artifact_location


def test_code_in_a_model_file_is_refused(champion, tmp_path, monkeypatch):
    import keras
    import mlflow

    evil = keras.Sequential([keras.layers.Input((28, 28)), keras.layers.Lambda(lambda x: x)])
    evil.save(tmp_path / "evil.keras")
    shutil.copytree(logged(champion), tmp_path / "model")
    shutil.copyfile(tmp_path / "evil.keras", tmp_path / "model/data/model.keras")
    with pytest.raises(ValueError, match="Lambda|unsafe"):
        mlflow.pyfunc.load_model(str(tmp_path / "model"))


def test_a_pickle_is_refused_wherever_this_project_has_opened_mlflow(champion, tmp_path):
    program = (
        "import sys, mlflow; from stages.core.mirror.store import open_store; open_store()\n"
        "mlflow.pyfunc.load_model(sys.argv[1])"
    )

    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[str]:
            return model_input

    mlflow.pyfunc.save_model(str(tmp_path / "pickled"), python_model=Echo(), pip_requirements=[])
    done = champion.run("python", "-W", "ignore", "-c", program, str(tmp_path / "pickled"), expect=1)
    assert "MLFLOW_ALLOW_PICKLE_DESERIALIZATION" in done.stdout

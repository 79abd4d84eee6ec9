"""A params.yaml for the small synthetic digits: the project's own, with their checksums and sizes."""

import hashlib
from pathlib import Path

import yaml

PROJECT = Path(__file__).parent.parent


def checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def write_params(folder: Path, idx_folder: Path, training: int = 600, validation: int = 200) -> None:
    """Write `folder`/params.yaml for the digits in `idx_folder`."""
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["download"]["sha256"] = checksums(idx_folder)
    params["preprocess"] |= {"training_images": training, "validation_images": validation}
    params["sweep"] = {"batch_sizes": [128, "full"], "learning_rates": [0.01, 0.1], "seeds": [0], "epochs": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

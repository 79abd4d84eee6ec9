"""A params.yaml for the small synthetic dataset: the project's own, with its checksums and sizes."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.utils.serialize import load_yaml as load_as_dvc
from pydantic import ValidationError
from ruamel.yaml import YAML

from descent.config import Params, read_params
from descent.validation import InvalidParams, describe_error, load_yaml, printable

ROOT = Path(__file__).parents[2]


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def listing_checksum(folder: Path) -> str:
    """Return the SHA-256 of what `sha256sum *` prints in a folder."""
    lines = [f"{digest}  {name}\n" for name, digest in checksums(folder).items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_yaml(path: Path) -> dict:
    """Read a YAML file as DVC does."""
    return YAML(typ="safe").load(path)


def write_yaml(path: Path, content: dict) -> None:
    """Write a YAML file as DVC does, keys in their order."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(content, path)


def dumped(content: dict) -> str:
    """Return a mapping as the text of a YAML file."""
    text = io.StringIO()
    YAML().dump(content, text)
    return text.getvalue()


def places(value: Any, at: tuple = ()) -> Iterator[tuple]:
    """Yield every place in nested mappings and lists but the outermost, as a tuple of keys."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inner:
        yield (*at, key)
        yield from places(entry, (*at, key))


def parent(value: Any, place: tuple) -> Any:
    """Return the mapping or list that has this place."""
    for key in place[:-1]:
        value = value[key]
    return value


def shrink(params: dict, idx_folder: Path) -> None:
    """Change the parameters to 600 + 200 images, two epochs, two seeds, a sweep of four runs, two tuned models."""
    params["data"] = "bars"
    params["datasets"] = {
        "bars": {"title": "Bars", "source": str(idx_folder), "sha256": listing_checksum(idx_folder)}
    }
    params["preprocess"] |= {"training_images": 600, "validation_images": 200}
    params["train"] |= {"epochs": 2, "seeds": [0, 1]}
    params["tuned"] = {
        "seeds": [0],
        "models": {"tuned_128": {"batch_size": 128}, "tuned_full": {"batch_size": "full"}},
    }
    params["studies"]["tuned"]["models"] = list(params["tuned"]["models"])
    del params["studies"]["optimizers"]
    params["sweep"] = {"batch_sizes": [128, "full"], "learning_rates": [0.01, 0.1], "seeds": [0], "epochs": 1}


def write_params(folder: Path, idx_folder: Path, **sections: dict) -> None:
    """Write `folder`/params.yaml for the files in `idx_folder`; `sections` are merged into the file's."""
    params = read_yaml(ROOT / "params.yaml")
    shrink(params, idx_folder)
    for name, values in sections.items():
        params[name] |= values
    write_yaml(folder / "params.yaml", params)


def error_lines(path: Path, text: str | bytes) -> list[str]:
    """Write params.yaml and read it; return the error lines without the file's name, none if it is valid."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        read_params(path)
    except InvalidParams as error:
        lines = str(error).split("\n")
        assert all(line.startswith(f"{path}: ") for line in lines)
        return [line.removeprefix(f"{path}: ") for line in lines]
    assert load_as_dvc(str(path)) == load_yaml(path.read_text()), "DVC reads something else"
    return []


def value_errors(raw: dict) -> list[str]:
    """Return the error lines of a params.yaml with these values, without writing it; none if they are valid."""
    try:
        Params.model_validate(raw)
    except InvalidParams as error:
        return [printable(line) for line in str(error).splitlines()]
    except ValidationError as found:
        return [printable(describe_error(error, Params)) for error in found.errors()]
    return []

"""The typed, validated view of params.yaml: every setting that changes a result, and what it may be."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from stages.core.refusals import refusal, refusal_lines
from stages.core.section import Number, Section, Whole
from stages.core.settings import OPTIMIZER_CONSTANTS, Model


class InvalidParams(ValueError):
    """params.yaml cannot be used; one line per fault: the key, its value, what is accepted."""


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
NAME = "of at most 64 ASCII letters, digits, _ and -, the first a letter or digit"


class Download(Section):
    """Where the right bytes are recognised."""

    sha256: dict[
        Literal[
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ],
        Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")],
    ] = Field(min_length=4, description="the four IDX files, each with 64 hexadecimal digits")


class Preprocess(Section):
    """How the training file is divided."""

    training_images: Whole = Field(ge=1, description="a whole number from 1 up")
    validation_images: Whole = Field(ge=1, description="a whole number from 1 up")
    seed: Whole = Field(ge=0, lt=2**32, description="a whole number from 0 to 4294967295")


class Train(Section):
    """What all runs have in common."""

    epochs: Whole = Field(ge=1, le=100_000, description="a whole number from 1 to 100000")
    seeds: tuple[Annotated[Whole, Field(ge=0, lt=2**31)], ...] = Field(
        min_length=1, description="a list of different whole numbers from 0 to 2147483647, at least one"
    )

    @model_validator(mode="after")
    def _seeds_differ(self):
        if len(set(self.seeds)) < len(self.seeds):
            raise refusal("seeds", list(self.seeds), "a list of different whole numbers")
        return self


class Study(Section):
    """A question, and the models that are compared to answer it."""

    question: str = Field(min_length=1, description="a sentence")
    models: tuple[str, ...] = Field(min_length=1, description="a list of names from models, at least one")


class Sweep(Section):
    """The map: every combination of these, each run as a model's would be, for fewer epochs."""

    batch_sizes: tuple[Literal["full"] | Annotated[Whole, Field(ge=1)], ...] = Field(
        min_length=1,
        description="a list of different whole numbers from 1 to preprocess.training_images, or full",
    )
    learning_rates: tuple[Annotated[Number, Field(gt=0)], ...] = Field(
        min_length=1, description="a list of different finite numbers above 0, at least one"
    )
    optimizers: tuple[Literal["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam"], ...] = Field(
        ("sgd",), min_length=1, description="a list of different names of " + ", ".join(OPTIMIZER_CONSTANTS)
    )
    seeds: tuple[Annotated[Whole, Field(ge=0, lt=2**31)], ...] = Field(
        min_length=1, description="a list of different whole numbers from 0 to 2147483647, at least one"
    )
    epochs: Whole = Field(ge=1, le=100_000, description="a whole number from 1 to 100000")

    @model_validator(mode="after")
    def _values_differ(self):
        for name in ("batch_sizes", "learning_rates", "optimizers", "seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise refusal(name, list(values), type(self).model_fields[name].description)
        return self


class Params(Section):
    """The whole of params.yaml."""

    download: Download
    preprocess: Preprocess
    train: Train
    models: dict[Name, Model] = Field(min_length=1, description=f"at least one model, with a name {NAME}")
    studies: dict[Name, Study] = Field(min_length=1, description=f"at least one study, with a name {NAME}")
    sweep: Sweep

    @model_validator(mode="after")
    def _sweep_fits_the_images(self):
        images, sizes = self.preprocess.training_images, self.sweep.batch_sizes
        for size in sizes:
            if size != "full" and size > images:
                accepted = f"a whole number from 1 to {images} (preprocess.training_images), or full"
                raise refusal("sweep.batch_sizes", size, accepted)
        if "full" in sizes and images in sizes:
            raise refusal("sweep.batch_sizes", list(sizes), f"{images} or full, which are the same")
        return self

    @model_validator(mode="after")
    def _parts_agree(self):
        images = self.preprocess.training_images
        for name, model in self.models.items():
            if model.batch_size != "full" and model.batch_size > images:
                accepted = f"a whole number from 1 to {images} (preprocess.training_images), or full"
                raise refusal(f"models.{name}.batch_size", model.batch_size, accepted)
        for name, study in self.studies.items():
            for model in study.models:
                if model not in self.models:
                    raise refusal(f"studies.{name}.models", model, f"one of {', '.join(self.models)}")
            if len(set(study.models)) < len(study.models):
                raise refusal(f"studies.{name}.models", list(study.models), "each model once")
        return self

    def studies_of(self, model: str) -> list[str]:
        """The names of the studies that `model` stands in, in the file's order."""
        return [name for name, study in self.studies.items() if model in study.models]


def read_params(path: Path | str = "params.yaml") -> Params:
    """Read and validate params.yaml as a whole.

    Raises InvalidParams, whose text has one line for each fault found.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParams(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a 13th month, for one
        raise InvalidParams(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    try:
        return Params.model_validate(raw)
    except ValidationError as errors:
        lines = refusal_lines(errors, raw, Params)
        raise InvalidParams("\n".join(f"{path}: {line}" for line in lines)) from None


def read_params_or_exit(path: Path | str = "params.yaml") -> Params:
    """What a command does first: `read_params`, or the faults on stderr and exit code 2."""
    try:
        return read_params(path)
    except InvalidParams as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None

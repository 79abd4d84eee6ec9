"""params.yaml: what it may hold, and the runs that it describes."""

import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML

from descent import paths
from descent.addresses import PUBLIC_SOURCE, is_public_source
from descent.datasets import KNOWN, KnownDataset
from descent.engine.optimizers import OPTIMIZERS
from descent.engine.settings import ACTIVATION, HIDDEN_LAYERS, OPTIMIZER, RunSettings
from descent.errors import UserError
from descent.validation import InvalidParams, describe_error, load_yaml, printable, rejection

OPTIMIZER_NAMES = ", ".join(OPTIMIZERS)
CONSTANTS = {name for optimizer in OPTIMIZERS.values() for name in optimizer.constants}
ACTIVATIONS = ("relu", "tanh", "sigmoid", "elu", "gelu", "silu")
MAX_WEIGHTS = 2**26
"""256 MiB of 32-bit floats, of which a trajectory has one set for each epoch."""
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Invisible characters that some scripts and emoji need."""


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _batch_size(value: Any) -> Any:
    size = _whole(value)
    if size != "full" and not (type(size) is int and size >= 1):
        raise ValueError("no batch size")
    return size


def _text(value: Any) -> Any:
    """Make one line of a text; reject control characters, which a terminal would obey."""
    if not isinstance(value, str):
        return value
    line = " ".join(value.split())
    if not all(character.isprintable() or character in JOINERS for character in line):
        raise ValueError("control characters")
    return line


def _different(values: Any) -> Any:
    if values and len(set(values)) < len(values):
        raise ValueError("a duplicate value")
    return values


def _source(value: str) -> str:
    if not is_public_source(value):
        raise ValueError("no source")
    return value


def _layers(widths: tuple[int, ...]) -> tuple[int, ...]:
    if sum(one * next_ for one, next_ in itertools.pairwise(widths)) > MAX_WEIGHTS:
        raise ValueError("too many weights")
    return widths


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0, description="a finite number above 0")]
FromZero = Annotated[Number | None, Field(ge=0, description="a finite number from 0 up")]
Fraction = Annotated[Number | None, Field(ge=0, lt=1, description="a number from 0 up to, but not, 1")]
Whole = Annotated[int, BeforeValidator(_whole), Field(strict=True)]
Count = Annotated[Whole, Field(ge=1, description="a whole number from 1 up")]
TEXT = "a text of at most 500 printable characters"
Text = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=500, description=TEXT)]
BATCH_SIZE = "a whole number from 1 to preprocess.training_images, or full"
BatchSize = Annotated[int | Literal["full"], PlainValidator(_batch_size), Field(description=BATCH_SIZE)]
Different = AfterValidator(_different)
if TYPE_CHECKING:
    Activation = str
    Optimizer = str
else:
    Activation = Annotated[Literal[ACTIVATIONS], Field(description=f"one of {', '.join(ACTIVATIONS)}")]
    Optimizer = Annotated[Literal[tuple(OPTIMIZERS)], Field(description=f"one of {OPTIMIZER_NAMES}")]
Layers = Annotated[
    tuple[Annotated[Whole, Field(ge=1, le=65_536)], ...],
    AfterValidator(_layers),
    Field(
        max_length=100,
        description="a list of at most 100 layer widths, whole numbers from 1 to 65536, with at most "
        f"{MAX_WEIGHTS:,} weights between them",
    ),
]
Seeds = Annotated[
    tuple[Annotated[Whole, Field(ge=0, lt=2**31)], ...],
    Different,
    Field(min_length=1, description="a list of different whole numbers from 0 to 2147483647, at least one"),
]
LearningRates = Annotated[
    tuple[Positive, ...],
    Different,
    Field(min_length=1, description="a list of different finite numbers above 0, at least one"),
]
Epochs = Annotated[Whole, Field(ge=1, le=100_000, description="a whole number from 1 to 100000")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
NAME = "of at most 64 ASCII letters, digits, _ and -, the first a letter or digit"


def images_per_update(batch_size: int | Literal["full"], images: int) -> int:
    """Return a batch size as a number: `full` means all `images` training images."""
    return images if batch_size == "full" else batch_size


class Section(BaseModel):
    """A mapping in params.yaml: its keys are known, its values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnDataset(Section):
    """A dataset of your own; its format is what the source is."""

    title: Text
    source: Annotated[Text, AfterValidator(_source)] = Field(description=PUBLIC_SOURCE)
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="64 hexadecimal digits, which `python -m descent checksum SOURCE` prints",
    )
    classes: Annotated[tuple[Text, ...] | None, Different] = Field(
        None, min_length=2, max_length=1000, description="a list of 2 to 1000 different class names"
    )
    test_images: Count | None = Field(None, description="a whole number from 1 up")


class Preprocess(Section):
    """The split of the training file."""

    training_images: Count
    validation_images: Count
    seed: Whole = Field(ge=0, lt=2**32, description="a whole number from 0 to 4294967295")


class Network(Section):
    """The defaults of all models and of the sweep's runs."""

    hidden_layers: Layers = HIDDEN_LAYERS
    activation: Activation = ACTIVATION
    optimizer: Optimizer = OPTIMIZER


class Train(Section):
    """The settings that all models share."""

    epochs: Epochs
    seeds: Seeds


class Model(Network):
    """One model, or one cell of the sweep's grid."""

    batch_size: BatchSize
    learning_rate: Positive
    momentum: Fraction = None
    rho: Fraction = None
    beta_1: Fraction = None
    beta_2: Fraction = None
    initial_accumulator: FromZero = None
    epsilon: Number | None = Field(None, gt=0, description="a finite number above 0")
    weight_decay: FromZero = None

    def with_defaults(self, network: Network) -> "Model":
        """Return this model with what it does not set itself taken from `network`."""
        missing = Network.model_fields.keys() - self.model_fields_set
        return self.model_copy(update={name: getattr(network, name) for name in missing})

    def constants(self) -> dict[str, float]:
        """Return the optimizer's constants besides the learning rate, with defaults filled in."""
        defaults = OPTIMIZERS[self.optimizer].constants
        given = {name: getattr(self, name) for name in defaults}
        return {name: defaults[name] if value is None else value for name, value in given.items()}

    def run_settings(self, images: int, epochs: int, seed: int) -> RunSettings:
        """Return the settings of one run of this model on `images` training images."""
        return RunSettings(
            batch_size=images_per_update(self.batch_size, images),
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            constants=tuple(self.constants().items()),
            hidden_layers=self.hidden_layers,
            activation=self.activation,
            epochs=epochs,
            seed=seed,
        )


class TunedModel(Section):
    """A model at the best learning rate that the sweep finds for its batch size and optimizer."""

    batch_size: BatchSize
    optimizer: Optimizer | None = Field(None, description=f"one of {OPTIMIZER_NAMES}")


class Tuned(Section):
    """The models that are trained after the sweep, and their seeds."""

    seeds: Seeds
    models: dict[Name, TunedModel] = Field(description=f"models, each with a name {NAME}")


class Study(Section):
    """A question, and the models that are compared to answer it."""

    question: Text
    models: Annotated[tuple[str, ...], Different] = Field(
        min_length=1, description="a list of different names from models and tuned.models, at least two"
    )


class Sweep(Section):
    """A grid of settings: every combination is a run. `tuning_rates` are for tuned models beyond it."""

    batch_sizes: Annotated[tuple[BatchSize, ...], Different] = Field(
        min_length=1,
        description="a list of different whole numbers from 1 to preprocess.training_images, or full",
    )
    learning_rates: LearningRates
    optimizers: Annotated[tuple[Optimizer, ...] | None, Different] = Field(
        None, min_length=1, description=f"a list of different names of {OPTIMIZER_NAMES}"
    )
    tuning_rates: LearningRates | None = None
    seeds: Seeds
    epochs: Epochs


class Params(Section):
    """The whole of params.yaml; models and sweep have the defaults of `network` filled in."""

    data: str = Field(description=f"one of {', '.join(KNOWN)}, or a name in datasets")
    datasets: dict[Name, OwnDataset] = Field({}, description=f"datasets of your own, each with a name {NAME}")
    preprocess: Preprocess
    network: Network
    train: Train
    models: dict[Name, Model] = Field(min_length=1, description=f"at least one model, with a name {NAME}")
    studies: dict[Name, Study] = Field(min_length=1, description=f"at least one study, with a name {NAME}")
    sweep: Sweep
    tuned: Tuned

    @model_validator(mode="after")
    def _fill_in_and_compare(self):
        models = {name: model.with_defaults(self.network) for name, model in self.models.items()}
        optimizers = self.sweep.optimizers or (self.network.optimizer,)
        sweep = self.sweep.model_copy(update={"optimizers": optimizers})
        params = self.model_copy(update={"models": models, "sweep": sweep})
        found = [
            *params._data_conflicts(),
            *params._model_conflicts(),
            *params._batch_size_conflicts(),
            *params._study_conflicts(),
        ]
        if found:
            raise InvalidParams("\n".join(found))
        return params

    @property
    def dataset(self) -> KnownDataset | OwnDataset:
        """The description of the dataset that `data` names."""
        return self.datasets[self.data] if self.data in self.datasets else KNOWN[self.data]

    def _data_conflicts(self) -> Iterator[str]:
        for name in self.datasets.keys() & KNOWN.keys():
            yield rejection("datasets", name, "another name: this one is a known dataset's")
        if self.data in KNOWN:
            wanted = self.preprocess.training_images + self.preprocess.validation_images
            images = KNOWN[self.data].training_images
            if wanted > images:
                key = "preprocess.training_images + preprocess.validation_images"
                yield rejection(key, wanted, f"at most {images}, the training images of {self.data}")
        elif self.data not in self.datasets:
            names = ", ".join([*KNOWN, *self.datasets])
            yield rejection("data", self.data, f"one of {names}")

    def _model_conflicts(self) -> Iterator[str]:
        yield from _same_but_for_case("studies", self.studies)
        yield from _same_but_for_case("models", [*self.models, *self.tuned.models])
        for name in filter(lambda name: name.lower() == paths.TUNED.name, self.models):
            yield rejection("models", name, f"another name: {paths.TUNED} holds the tuned models")
        for name, model in self.models.items():
            known = OPTIMIZERS[model.optimizer].constants
            takes = f"nothing here: {model.optimizer} takes {', '.join(known) or 'no constant'}"
            for constant in sorted(CONSTANTS - known.keys()):
                if (value := getattr(model, constant)) is not None:
                    yield rejection(f"models.{name}.{constant}", value, takes)

    def _study_conflicts(self) -> Iterator[str]:
        known = [*self.models, *self.tuned.models]
        for name, study in self.studies.items():
            key, unknown = f"studies.{name}.models", set(study.models) - set(known)
            for model in sorted(unknown):
                yield rejection(key, model, f"one of {', '.join(known)}")
            if len(study.models) == 1 and len(self.models) > 1:
                accepted = "at least two models: one has nothing to be compared with"
                yield rejection(key, list(study.models), accepted)
            elif not unknown:
                yield from self._equal_models(key, [model for model in study.models if model in self.models])

    def _equal_models(self, key: str, names: Iterable[str]) -> Iterator[str]:
        images = self.preprocess.training_images
        runs = {name: self.models[name].run_settings(images, epochs=1, seed=0) for name in names}
        for one, other in itertools.combinations(runs, 2):
            if runs[one] == runs[other]:
                yield rejection(key, [one, other], "models that differ: the settings of these two are equal")

    def _batch_size_conflicts(self) -> Iterator[str]:
        images, sizes = self.preprocess.training_images, self.sweep.batch_sizes
        places = [(f"models.{name}.batch_size", model.batch_size) for name, model in self.models.items()]
        places += [(f"tuned.models.{name}.batch_size", m.batch_size) for name, m in self.tuned.models.items()]
        for key, size in [*places, *(("sweep.batch_sizes", size) for size in sizes)]:
            if size != "full" and size > images:
                accepted = f"a whole number from 1 to {images} (preprocess.training_images), or full"
                yield rejection(key, size, accepted)
        if "full" in sizes and images in sizes:
            yield rejection("sweep.batch_sizes", list(sizes), f"{images} or full, which are the same")

    def with_rates(self, rates: Mapping[str, float]) -> "Params":
        """Return params with the tuned models among the models, at these learning rates by name."""
        tuned = {name: self._cell(*row, rates[name]) for name, row in self.tuned_rows().items()}
        return self.model_copy(update={"models": self.models | tuned})

    def tuned_rows(self) -> dict[str, tuple[str, int]]:
        """Return optimizer and batch size of each tuned model: its row of the sweep."""
        images = self.preprocess.training_images
        return {
            name: (model.optimizer or self.network.optimizer, images_per_update(model.batch_size, images))
            for name, model in self.tuned.models.items()
        }

    def seeds(self, model: str) -> tuple[int, ...]:
        """Return the seeds of a model's runs."""
        return self.tuned.seeds if model in self.tuned.models else self.train.seeds

    def results_folder(self, model: str) -> Path:
        """Return the folder of a model's results, relative to models/."""
        return Path(paths.TUNED.name, model) if model in self.tuned.models else Path(model)

    def model_runs(self, model: str) -> list[RunSettings]:
        """Return the settings of a model's runs, one per seed; a tuned model needs `with_rates`."""
        images, epochs = self.preprocess.training_images, self.train.epochs
        return [self.models[model].run_settings(images, epochs, seed) for seed in self.seeds(model)]

    def sweep_runs(self) -> list[RunSettings]:
        """Return the settings of the runs of the sweep's grid, in the order of its table."""
        return [run for row in self._grid_rows() for run in self._row_runs(*row, self.sweep.learning_rates)]

    def tuning_runs(self) -> list[RunSettings]:
        """Return the settings of the runs that choose the learning rates of tuned models beyond the grid."""
        grid, rates = self._grid_rows(), self.sweep.tuning_rates or self.sweep.learning_rates
        rows = [row for row in self.tuned_rows().values() if row not in grid]
        return [run for row in rows for run in self._row_runs(*row, rates)]

    def _grid_rows(self) -> list[tuple[str, int]]:
        """Return optimizer and batch size of each row of the sweep's grid."""
        assert self.sweep.optimizers is not None  # filled in by the validator
        images = self.preprocess.training_images
        sizes = [images_per_update(size, images) for size in self.sweep.batch_sizes]
        return list(itertools.product(self.sweep.optimizers, sizes))

    def _row_runs(self, optimizer: str, size: int, rates: Iterable[float]) -> list[RunSettings]:
        """Return the runs of one batch size and optimizer: all these learning rates, all seeds."""
        images, sweep = self.preprocess.training_images, self.sweep
        return [
            self._cell(optimizer, size, rate).run_settings(images, sweep.epochs, seed)
            for rate in rates
            for seed in sweep.seeds
        ]

    def _cell(self, optimizer: str, size: int, rate: float) -> Model:
        """Return the model of a cell of the sweep."""
        model = Model(batch_size=size, learning_rate=rate, optimizer=optimizer)
        return model.with_defaults(self.network)


def _same_but_for_case(key: str, names: Iterable[str]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name in names:
        if other := seen.get(name.lower()):
            yield rejection(
                key, name, f"another name: there is {other!r} (upper and lower case are the same)"
            )
        seen[name.lower()] = name


def read_params(path: Path | str = paths.PARAMS) -> Params:
    """Read and validate params.yaml as a whole."""
    try:
        raw = load_yaml(Path(path).read_text(encoding="utf-8"))
        return Params.model_validate(raw)
    except (OSError, UnicodeDecodeError) as error:
        lines = [f"cannot be read: {getattr(error, 'strerror', None) or error}"]
    except InvalidParams as error:
        lines = str(error).split("\n")
    except ValidationError as found:
        lines = [describe_error(error, Params) for error in found.errors()]
    raise InvalidParams("\n".join(f"{path}: {printable(line)}" for line in lines)) from None


def with_tuned(params: Params, path: Path = paths.RATES) -> Params:
    """Return params with the tuned models among the models, at the rates that the sweep wrote to `path`."""
    try:
        return params.with_rates(json.loads(path.read_text(encoding="utf-8")))
    except KeyError as error:
        reason = f"has no learning rate for {error.args[0]}"
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    raise UserError(f"{path}: {reason}; `dvc repro sweep` writes it")


def own_dataset_entry(source: str, checksum: str, test_images: int | None) -> str:
    """Return the lines of params.yaml for a dataset of your own, as DVC would write them."""
    stem = PurePosixPath(re.split("[?#]", source)[0]).name.partition(".")[0]
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-")[:64] or "images"
    name = f"my_{name}"[:64] if name in KNOWN else name
    title = re.sub("[_-]+", " ", name).capitalize()
    entry: dict[str, str | int] = {"title": title, "source": source, "sha256": checksum}
    if test_images:
        entry["test_images"] = test_images
    yaml, text = YAML(), io.StringIO()
    yaml.dump({"data": name, "datasets": {name: entry}}, text)
    return text.getvalue()

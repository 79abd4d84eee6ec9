"""The schema of `meta.mlflow` in dvc.yaml: how a stage is shown in MLflow."""

import posixpath
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from dvc_mlflow.errors import Unusable


class _Part(BaseModel, frozen=True):
    @model_validator(mode="before")
    @classmethod
    def _has_known_keys(cls, value: Any) -> Any:
        accepted = [field.alias or name for name, field in cls.model_fields.items()]
        for key in value if isinstance(value, dict) else ():
            if key not in accepted:
                text = f"{key}: unknown key; accepted: {', '.join(accepted)}"
                raise PydanticCustomError("unknown", "{text}", {"text": text})
        return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


def _as_file(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


def _within_root(path: str, info: Any) -> str:
    """Return the path from the root: in a dvc.yaml it is relative to the stage's folder."""
    normal = posixpath.normpath(posixpath.join(info.context["folder"], path))
    if f"{normal}/".startswith(("../", "/")):
        raise PydanticCustomError("path", "a path within the repository")
    return normal


def _with_prefix(name: str) -> str:
    if not re.match(r"(params|metrics|tags|attributes)\..", name):
        raise PydanticCustomError("name", "a name after params., metrics., tags. or attributes.")
    return name


Words = Annotated[list[str], BeforeValidator(_listed)]
Column = Annotated[str, AfterValidator(_with_prefix)]
RootPath = Annotated[str, AfterValidator(_within_root)]


class Per(_Part):
    """A list of objects in a metrics file, one for each child run: `{list: seeds, key: seed}`."""

    list: str
    key: str


class Metrics(_Part):
    """A JSON, YAML or TOML file: its numbers become metrics, its words tags."""

    file: RootPath
    per: Per | None = None


MetricsFile = Annotated[Metrics, BeforeValidator(_as_file)]


class Curves(_Part):
    """A long table: one metric value per row, one child run for each value of `run_per`."""

    file: RootPath
    step: str
    run_per: Words = []
    metrics: Words | None = None


class Rows(_Part):
    """A table with one child run per row: `params` identify it, other numbers are its metrics."""

    file: RootPath
    params: Words
    metrics: Words | None = None
    seconds: str | None = None
    log: dict[str, Literal[2, 10]] = {}


class DatasetMapping(_Part):
    """A dependency that is shown as a dataset, or a file within it."""

    path: RootPath
    name: str
    context: str = ""


class Best(_Part):
    """The rule that chooses, of all models with the same registered name, which takes the alias."""

    metric: str
    mode: Literal["max", "min"] = "max"
    require: dict[str, str] = {}


class ModelMapping(_Part):
    """A file or folder logged as a model: a `.keras` file, or what `mlflow.….save_model` wrote."""

    file: RootPath
    flavour: Literal["keras", "mlflow"]
    register_as: str | None = Field(None, alias="register")
    alias: str | None = None
    best: Best | None = None
    description: str = ""

    @model_validator(mode="after")
    def _is_registered_for_its_alias(self) -> Self:
        if bool(self.register_as) != bool(self.alias) or (self.best and not self.alias):
            raise PydanticCustomError("registered", "register and alias together, best with both")
        return self


class Chart(_Part):
    """A chart of a view: a line per run of a metric, a bar, or a mark per run (x, y)."""

    line: str | None = None
    bar: str | None = None
    x: Column = ""
    y: Column = ""
    log: bool = False

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if [bool(self.line), bool(self.bar), bool(self.x and self.y)].count(True) != 1:
            raise PydanticCustomError("chart", "line, or bar, or x and y")
        return self


class View(_Part):
    """A saved view of the experiment's page: columns as `params.x`, `metrics.x`, `tags.x`."""

    columns: list[Column] = []
    sort: Column | None = None
    ascending: bool = False
    filter: str = ""
    group_by: Column | None = None
    charts: list[Chart] = []


class Mapping(_Part):
    """The settings that show one stage."""

    experiment: str | None = None
    description: str = ""
    metrics: Annotated[list[MetricsFile], BeforeValidator(_listed)] | None = None
    curves: Annotated[list[Curves], BeforeValidator(_listed)] | None = None
    rows: Rows | None = None
    names: dict[str, str] = {}
    tags: dict[str, Any] = {}
    artifacts: Annotated[list[RootPath], BeforeValidator(_listed)] = []
    datasets: list[DatasetMapping] | None = None
    model: ModelMapping | None = None
    views: dict[str, View] = {}


def parse(stage: str, meta: Any, folder: str = ".") -> Mapping | None:
    """Validate the `meta` of a stage, whose files are relative to `folder`; None for `mlflow: false`.

    Raises Unusable, with a line per error.
    """
    value = meta.get("mlflow", True) if isinstance(meta, dict) else True
    if value is False:
        return None
    try:
        given = {} if value is True else value
        return Mapping.model_validate(given, context={"folder": folder})
    except ValidationError as error:
        raise Unusable("\n".join(_line(stage, one) for one in error.errors())) from None


def _line(stage: str, error: Any) -> str:
    """Describe an error of pydantic: stage, key, value, and what is accepted."""
    where = [str(part) for part in error["loc"] if not str(part).startswith(("function-", "list["))]
    key = ".".join(["meta.mlflow", *where])
    if error["type"] == "unknown":
        return f"dvc.yaml: stage {stage}: {key}.{error['msg']}"
    if error["type"] == "missing":
        return f"dvc.yaml: stage {stage}: {key}: is missing"
    accepted = re.sub(r" or instance of \w+", "", error["msg"].replace("Input should be ", ""))
    accepted = accepted if where else "false, or keys indented below it"
    return f"dvc.yaml: stage {stage}: {key}: {error['input']!r}; accepted: {accepted}"

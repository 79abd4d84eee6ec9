"""What MLflow should show of each stage: names, parameters, metrics, artifacts and child runs."""

import csv
import hashlib
import json
import math
import re
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Items
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dvc_mlflow import provenance
from dvc_mlflow.lock import Lock, Stage, Unusable, digest, opened
from dvc_mlflow.mapping import Curves, Mapping, MappingError, Metrics, Model, Rows, View, parse

STEPS = ("step", "epoch", "iteration", "batch", "round")
"""Column names that are taken for a step where dvc.yaml names none."""
TABLES = (".csv", ".tsv", ".json", ".yaml", ".yml")
LARGEST_PLOT_BYTES = 10_000_000
NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?")
LISTING = "dvc.json"
"""The artifact with a stage's command, parameters, dependencies and outputs."""


class Point(NamedTuple):
    """A value of a metric at a step."""

    key: str
    value: float
    step: int


class DatasetInput(NamedTuple):
    """A dataset that a run used."""

    name: str
    digest: str
    path: str
    context: str


@dataclass
class ExpectedRun:
    """A run as MLflow should show it; `key` identifies a child among its siblings."""

    name: str
    key: str = ""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: dict[tuple[str, int], float] = field(default_factory=dict)
    seconds: float | None = None

    def add(self, points: Iterable[Point]) -> None:
        """Add the points whose value is finite; a later one replaces an earlier one."""
        self.points |= {(key, step): value for key, value, step in points if math.isfinite(value)}

    def add_finals(self, numbers: Items[str, float]) -> None:
        """Add values at step 0, where MLflow draws bars; what has a curve ends in its value already."""
        curves = {key for key, _ in self.points}
        self.add(Point(key, value, 0) for key, value in numbers.items() if key not in curves)

    def final(self) -> dict[str, float]:
        """Return the value of each metric at its last step."""
        last: dict[str, tuple[int, float]] = {}
        for (key, step), value in self.points.items():
            if key not in last or step >= last[key][0]:
                last[key] = step, value
        return {key: value for key, (_, value) in last.items()}


@dataclass
class ExpectedStage(ExpectedRun):
    """The run of a stage, with its child runs."""

    stage: str = ""
    identity: str = ""
    experiment: str = ""
    artifacts: dict[str, Path] = field(default_factory=dict)
    """Local files, by their path in MLflow."""
    listing: str = ""
    datasets: list[DatasetInput] = field(default_factory=list)
    children: dict[str, ExpectedRun] = field(default_factory=dict)
    model: Model | None = None
    model_path: Path | None = None
    words: dict[str, str] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)


@dataclass
class Expectation:
    """Everything that MLflow should show of a working tree or a revision."""

    stages: list[ExpectedStage]
    unusable: dict[str, str]
    origin: dict[str, str]
    diff: str
    committed: bool


def read(
    workspace: Path, revision: str | None = None, running: str | None = None, folder: Path | None = None
) -> Expectation:
    """Read what MLflow should show of the repository `workspace`, at its working tree or at `revision`.

    Args:
        workspace: The folder with `.dvc`, which may be the temporary copy of a DVC experiment.
        revision: A commit, branch, tag or DVC experiment.
        running: Only this stage, which has just run, with the bytes that its outputs have now.
        folder: Takes the files of `revision`.

    Raises:
        Unusable: DVC cannot read the repository or the revision.
    """
    root = provenance.repository(workspace)
    with opened(workspace, revision, folder or Path(tempfile.gettempdir())) as lock:
        stages = lock.stages(running)
        if lock.revision:
            origin, diff, committed = provenance.revision(root, lock.revision), "", False
        else:
            origin, diff = provenance.working_tree(workspace, lock.outputs())
            committed = provenance.committed(workspace)
        expectation = Expectation([], {}, origin, diff, committed)
        for stage in stages:
            try:
                if mapping := parse(stage.name, stage.meta):
                    reader = _Reader(lock, stage, mapping, root.name, running is not None)
                    expectation.stages.append(reader.run())
            except (Unusable, MappingError) as error:
                expectation.unusable[stage.name] = str(error)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                expectation.unusable[stage.name] = (
                    f"{stage.name}: its files do not fit meta.mlflow: {error!r}"
                )
    return expectation


class _Reader:
    """Reads one stage's files as its mapping says."""

    def __init__(self, lock: Lock, stage: Stage, mapping: Mapping, repository: str, running: bool):
        self.lock, self.stage, self.mapping, self.running = lock, stage, mapping, running
        params = parameters(stage)
        self.result = ExpectedStage(
            name=stage.name,
            params=params,
            stage=stage.name,
            identity=_identity(stage, params),
            experiment=mapping.experiment or repository,
            model=_renamed(mapping),
            views=mapping.views,
        )

    def run(self) -> ExpectedStage:
        """Read everything."""
        result, mapping = self.result, self.mapping
        for curves in self._curves():
            self._add_curves(curves)
        if mapping.rows:
            self._add_rows(mapping.rows)
        for metrics in self._metrics():
            self._add_metrics(metrics)
        for child in result.children.values():
            child.tags = {**result.tags, **child.tags}
            if not mapping.rows:
                child.params = {**result.params, **child.params}
        result.words = dict(result.tags)
        listing = {
            "stage": self.stage.name,
            "command": self.stage.command,
            "params": self.stage.params,
            "deps": self.stage.deps,
            "outs": self.stage.outs,
        }
        result.listing = json.dumps(listing, indent=2, sort_keys=True, default=str) + "\n"
        result.tags |= {name: canonical(value) for name, value in mapping.tags.items()}
        result.tags |= {"dvc.stage": self.stage.name, "dvc.outputs": result.identity}
        if mapping.description:
            result.tags["mlflow.note.content"] = mapping.description
        outs = json.dumps(self.stage.outs, sort_keys=True)
        if len(outs) <= 5000:
            result.tags["dvc.outs"] = outs
        result.tags |= {"mlflow.source.name": f"dvc repro {self.stage.name}", "mlflow.source.type": "LOCAL"}
        self._add_files()
        result.datasets = list(self._datasets())
        return result

    def _path(self, path: str) -> str:
        """Return a path of `meta.mlflow`, which is relative to its dvc.yaml, relative to the root."""
        parts: list[str] = []
        for part in PurePosixPath(self.stage.folder, path).parts:
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        return "/".join(parts)

    def _file(self, path: str) -> Path:
        return self.lock.file(path, self.running)

    def _metrics(self) -> list[Metrics]:
        if self.mapping.metrics is not None:
            return [one.model_copy(update={"file": self._path(one.file)}) for one in self.mapping.metrics]
        return [Metrics(file=path) for path in self.stage.metrics]

    def _add_metrics(self, metrics: Metrics) -> None:
        content = _load(self._file(metrics.file))
        held = content.pop(metrics.per.list, []) if metrics.per and isinstance(content, dict) else []
        numbers, words = self._split(flattened(content))
        self.result.add_finals(numbers)
        self.result.tags |= words
        if not metrics.per:
            return
        finals: dict[str, list[float]] = {}
        for entry in held:
            child = self._child({metrics.per.key: entry[metrics.per.key]})
            numbers, words = self._split((k, v) for k, v in flattened(entry) if k != metrics.per.key)
            child.add_finals(numbers)
            child.tags |= words
            for key, value in numbers.items():
                finals.setdefault(key, []).append(value)
        for key, values in finals.items():  # a mean of those that did not diverge would mislead
            if len(values) == len(held):
                summary = {f"{key}_mean": statistics.fmean(values)}
                if len(values) > 1:
                    summary[f"{key}_std"] = statistics.stdev(values)
                self.result.add_finals({name: float(f"{value:.12g}") for name, value in summary.items()})

    def _split(self, items: Iterable[tuple[str, Any]]) -> tuple[dict[str, float], dict[str, str]]:
        """Split into finite numbers and words, under the names that MLflow shows."""
        numbers: dict[str, float] = {}
        words: dict[str, str] = {}
        for key, value in items:
            name = self.metric_name(key)
            if (number := as_number(value)) is not None:
                if math.isfinite(number):
                    numbers[name] = number
            elif isinstance(value, str | bool):
                words[name] = canonical(value)[:500]
        return numbers, words

    def metric_name(self, key: str) -> str:
        """Return the name under which MLflow shows a key of a file."""
        return metric_name(self.mapping, key)

    def _child(self, values: Items[str, Any]) -> ExpectedRun:
        child = child_run(self.stage.name, self.mapping, values)
        return self.result.children.setdefault(child.key, child)

    def _curves(self) -> Iterator[Curves]:
        if self.mapping.curves is not None:
            yield from (one.model_copy(update={"file": self._path(one.file)}) for one in self.mapping.curves)
            return
        for path, x in self.stage.plots.items():
            for file in self._members(path):
                if (
                    PurePosixPath(file).suffix in TABLES
                    and self._file(file).stat().st_size < LARGEST_PLOT_BYTES
                ):
                    rows = _table(self._file(file))
                    step = next((name for name in (x, *STEPS) if name and rows and name in rows[0]), None)
                    steps = [as_number(row.get(step)) for row in rows] if step else []
                    distinct = len(set(steps)) == len(steps)  # else there are several curves, of unknown kind
                    if step and distinct and all(one is not None and one == int(one) for one in steps):
                        yield Curves(file=file, step=step)

    def _members(self, path: str) -> list[str]:
        """List the files at `path`, which may be a folder."""
        local = self._file(path)
        if local.is_dir():
            return [
                f"{path}/{one.relative_to(local).as_posix()}"
                for one in sorted(local.rglob("*"))
                if one.is_file()
            ]
        return [path]

    def _add_curves(self, curves: Curves) -> None:
        for row in _table(self._file(curves.file)):
            identity = {name: row[name] for name in curves.run_per}
            run = self._child(identity) if identity else self.result
            step = as_number(row[curves.step])
            columns = curves.metrics or [name for name in row if name not in (curves.step, *curves.run_per)]
            values = ((self.metric_name(name), as_number(row[name])) for name in columns)
            if step is None:
                raise Unusable(
                    f"{curves.file}: column {curves.step}: {row[curves.step]!r}; accepted: a number"
                )
            run.add(Point(name, value, int(step)) for name, value in values if value is not None)

    def _add_rows(self, rows: Rows) -> None:
        path = self._path(rows.file)
        for row in _table(self._file(path)):
            child = self._child({name: row[name] for name in rows.params})
            for name, base in rows.log.items():
                number = as_number(row[name])
                if number is not None and number > 0:
                    child.params[f"log{base}_{name}"] = canonical(round(math.log(number, base), 6))
            if rows.seconds:
                child.seconds = as_number(row[rows.seconds])
            used = {*rows.params, *rows.ignore, rows.seconds}
            chosen = {name: row[name] for name in rows.metrics or row if name not in used}
            numbers, words = self._split(chosen.items())
            child.add(Point(key, value, 0) for key, value in numbers.items())
            child.tags |= words

    def _add_files(self) -> None:
        wanted = [self._path(path) for path in self.mapping.artifacts]
        plain = {metrics.file for metrics in self._metrics()} | set(self.stage.plots)
        for path in wanted + sorted(plain):
            members = self._members(path)
            above = PurePosixPath(path).parent
            for file in members:
                local = self._file(file)
                if path in wanted or local.stat().st_size < LARGEST_PLOT_BYTES:
                    self.result.artifacts[PurePosixPath(file).relative_to(above).as_posix()] = local
        if self.mapping.model:
            self.result.model_path = self._file(self._path(self.mapping.model.file))

    def _datasets(self) -> Iterator[DatasetInput]:
        if self.mapping.datasets is None:
            for path in sorted(self.stage.data):
                yield DatasetInput(path, self.stage.deps[path][:8], path, "")
            return
        for one in self.mapping.datasets:
            path = self._path(one.path)
            md5 = self.lock.md5(path, self.stage.deps) or self._digest(path)
            yield DatasetInput(one.name, md5[:8], path, one.context)

    def _digest(self, path: str) -> str:
        local = self.lock.root / path
        return digest(local) if local.is_file() and not self.lock.revision else "unknown"


def _renamed(mapping: Mapping) -> Model | None:
    """Return the model's rule with the names that MLflow shows."""
    if not mapping.model or not (rule := mapping.model.best):
        return mapping.model
    require = {metric_name(mapping, key): word for key, word in rule.require.items()}
    shown = rule.model_copy(update={"metric": metric_name(mapping, rule.metric), "require": require})
    return mapping.model.model_copy(update={"best": shown})


def _identity(stage: Stage, params: dict[str, str]) -> str:
    """Hash what tells this result from any other: stage, parameters and outputs."""
    made = stage.outs or stage.deps
    return hashlib.md5(json.dumps([stage.name, params, made], sort_keys=True).encode()).hexdigest()


def parameters(stage: Stage) -> dict[str, str]:
    """Flatten a stage's parameters; those of a foreach item lose what leads to the item."""
    item = stage.name.partition("@")[2]
    short: dict[str, str] = {}
    for key, value in flattened(stage.params):
        name = re.sub(rf"^(.*\.)?{re.escape(item)}\.", "", key) if item else key
        short[_clean(key if name in short else name)] = canonical(value)[:6000]
    return short


def flattened(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dictionaries, their keys joined by dots. Lists are leaves."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flattened(inner, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), value


def as_number(value: Any) -> float | None:
    """Return the number that a value or a cell of a table is, else None. `1e-7` is one in any YAML."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def canonical(value: Any) -> str:
    """Write a value in the one way in which every run has it: 0.01, 1e-07, 100, full, true."""
    number = as_number(value)
    if number is not None and (not isinstance(value, str) or NUMBER.fullmatch(value)):
        short = f"{number:.15g}"
        return short if float(short) == number else repr(number)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def child_run(stage: str, mapping: Mapping, values: Items[str, Any]) -> ExpectedRun:
    """Return the child run that `values` identify among its siblings, with nothing but them."""
    order = mapping.rows.params if mapping.rows else []
    names = sorted(values, key=lambda name: order.index(name) if name in order else len(order))
    shown = {name: canonical(values[name]) for name in names}
    title = ", ".join(f"{name} {value}" for name, value in shown.items())
    key = " ".join(f"{name}={value}" for name, value in shown.items())
    return ExpectedRun(title if mapping.rows else f"{stage}, {title}", key, shown)


def read_mapping(workspace: Path, stage: str) -> tuple[Mapping | None, dict[str, str], str]:
    """Return how a stage that begins is shown, the tags of its provenance, and the uncommitted diff."""
    with opened(workspace, None, Path()) as lock:
        mapping = parse(stage, lock.meta(stage))
        return mapping, *provenance.working_tree(workspace, lock.outputs())


def metric_name(mapping: Mapping, key: str) -> str:
    """Return the name under which MLflow shows a key of a file."""
    return _clean(mapping.names.get(key, key))


def _clean(name: str) -> str:
    """Replace what MLflow accepts in no name."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250] or "_"


def _load(path: Path) -> Any:
    """Read a JSON, YAML or TOML file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        import tomllib

        return tomllib.loads(text)
    if path.suffix in (".yaml", ".yml"):
        from ruamel.yaml import YAML

        return YAML(typ="safe").load(text)
    return json.loads(text)


def _table(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a CSV, TSV, JSON or YAML table."""
    if path.suffix in (".csv", ".tsv"):
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    content = _load(path)
    if isinstance(content, dict):
        content = next((value for value in content.values() if isinstance(value, list)), [])
    return [row for row in content if isinstance(row, dict)]

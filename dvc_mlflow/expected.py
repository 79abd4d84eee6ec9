"""The runs that MLflow should show for each stage: parameters, metrics, artifacts and child runs."""

import csv
import hashlib
import json
import math
import os
import re
import statistics
import zipfile
from collections import abc
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dvc_mlflow import provenance
from dvc_mlflow.errors import Unusable, in_a_line
from dvc_mlflow.mapping import Curves, DatasetMapping, Mapping, Metrics, Per, Rows, parse
from dvc_mlflow.repository import Repository, Stage, files_in, opened

STEPS = ("step", "epoch", "iteration", "batch", "round")
"""Column names that are taken for a step where dvc.yaml names none."""
TABLES = (".csv", ".tsv", ".json", ".yaml", ".yml")
LARGEST_PLOT_BYTES = 10_000_000
NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?")
LISTING = "dvc.json"
"""The artifact with a stage's command, parameters, dependencies and outputs."""
DIFF = "uncommitted.diff"
"""The artifact with what was not committed."""
LONGEST_TAG = 5000
"""Characters of a tag, which MLflow limits; what is longer is in the listing alone."""


@dataclass
class ExpectedRun:
    """A run as MLflow should show it; `key` identifies a child among its siblings."""

    name: str
    key: str = ""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    """The values of each metric, by step."""
    seconds: float | None = None

    def add_finals(self, numbers: abc.Mapping[str, float]) -> None:
        """Add values at step 0, where MLflow draws bars.

        A metric with a curve is skipped: its last step is the final value.
        """
        for key, value in numbers.items():
            self.curves.setdefault(key, {0: value})

    def final(self) -> dict[str, float]:
        """Return the value of each metric at its last step."""
        return {key: curve[max(curve)] for key, curve in self.curves.items()}


@dataclass
class ExpectedStage(ExpectedRun):
    """The run of a stage, with its child runs."""

    mapping: Mapping = field(default_factory=Mapping)
    identity: str = ""
    experiment: str = ""
    artifacts: dict[str, Path] = field(default_factory=dict)
    """Local files, by their path in MLflow."""
    listing: str = ""
    datasets: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Name, digest, path and context of each."""
    children: dict[str, ExpectedRun] = field(default_factory=dict)
    model_path: Path | None = None


@dataclass
class Expectation:
    """Everything that MLflow should show of the working tree, which is `current`, or of a revision."""

    current: bool
    stages: list[ExpectedStage]
    unusable: dict[str, str]
    origin: dict[str, str]
    diff: str
    committed: bool


def read(place: provenance.Place, revision: str | None, folder: Path) -> Expectation:
    """Read what MLflow should show at a revision, whose files `folder` takes; None for the working tree.

    Raises Unusable, for whatever reason it cannot be read.
    """
    try:
        return _read(place, revision, folder)
    except Unusable:
        raise
    except Exception as error:  # DVC's own, git's, those of its remotes
        raise Unusable(in_a_line(error)) from None


def _read(place: provenance.Place, revision: str | None, folder: Path) -> Expectation:
    with opened(place.workspace, revision, folder) as repository:
        stages = repository.stages()
        if repository.revision:
            origin, diff, committed = provenance.revision(place.root, repository.revision), "", False
        else:
            origin, diff = provenance.working_tree(place, repository.outs)
            committed = provenance.committed(place.workspace)
        expectation = Expectation(revision is None, [], {}, origin, diff, committed)
        for stage in stages:
            try:
                if expected := _read_stage(place, repository, stage):
                    expectation.stages.append(expected)
            except Unusable as error:
                expectation.unusable[stage.name] = str(error)
    return expectation


def read_running(place: provenance.Place, name: str) -> ExpectedStage:
    """Read what MLflow should show of a stage that has just run, with the bytes that its outputs have now."""
    with opened(place.workspace, now=True) as repository:
        stage = _read_stage(place, repository, repository.running(name))
        assert stage
        return stage


def _read_stage(place: provenance.Place, repository: Repository, stage: Stage) -> ExpectedStage | None:
    mapping = parse(stage.name, stage.meta, stage.folder)
    return _Reader(repository, stage, mapping, place.root.name).run() if mapping else None


def read_mapping(place: provenance.Place, name: str) -> tuple[str, Mapping | None, dict[str, str], str]:
    """Return a beginning stage's name and mapping, the tags of its provenance, and the uncommitted diff."""
    with opened(place.workspace) as repository:
        stage = repository.running(name)
        mapping = parse(stage.name, stage.meta, stage.folder)
        return stage.name, mapping, *provenance.working_tree(place, repository.outs)


class _Reader:
    """Reads one stage's files as its mapping says."""

    def __init__(self, repository: Repository, stage: Stage, mapping: Mapping, folder: str):
        """`folder` is the experiment's name where the mapping has none."""
        self.repository, self.stage, self.mapping = repository, stage, mapping
        by_convention = [Metrics.model_construct(file=path) for path in stage.metrics]
        self.metrics = by_convention if mapping.metrics is None else mapping.metrics
        params = parameters(stage)
        made = json.dumps([stage.name, params, stage.outs or stage.deps], sort_keys=True)
        self.result = ExpectedStage(
            name=stage.name,
            params=params,
            mapping=mapping,
            identity=hashlib.md5(made.encode()).hexdigest(),
            experiment=mapping.experiment or folder,
        )

    def run(self) -> ExpectedStage:
        """Read everything. Raises Unusable."""
        try:
            self._add_files()
            for curves, prefix in self._curves():
                self._add_curves(curves, prefix)
            if self.mapping.rows:
                self._add_rows(self.mapping.rows)
            self._add_metrics()
            for child in self.result.children.values():
                child.tags = {**self.result.tags, **child.tags}
                if not self.mapping.rows:
                    child.params = {**self.result.params, **child.params}
            self._add_descriptions()
        except Unusable as error:
            raise Unusable(f"{self.stage.name}: {error}") from None
        except Exception as error:  # of any file's format, and of DVC
            raise Unusable(f"{self.stage.name}: its files cannot be read: {error!r}") from None
        return self.result

    def _add_descriptions(self) -> None:
        """Add what tells where the run comes from, and its datasets."""
        result, stage = self.result, self.stage
        about = ("name", "command", "params", "deps", "outs")
        listing = {key: getattr(stage, key) for key in about}
        result.listing = json.dumps(listing, indent=2, sort_keys=True, default=str) + "\n"
        result.tags |= {name: canonical(value) for name, value in self.mapping.tags.items()}
        result.tags |= {"dvc.stage": stage.name, "dvc.outputs": result.identity}
        result.tags |= {"mlflow.source.name": f"dvc repro {stage.name}", "mlflow.source.type": "LOCAL"}
        if self.mapping.description:
            result.tags["mlflow.note.content"] = self.mapping.description
        outs = json.dumps(stage.outs, sort_keys=True)
        if len(outs) <= LONGEST_TAG:
            result.tags["dvc.outs"] = outs
        data = self.mapping.datasets
        if data is None:
            data = [DatasetMapping.model_construct(path=path, name=path) for path in stage.data]
        for one in data:
            md5 = self.repository.md5(one.path, stage.deps)
            result.datasets.append((one.name, md5[:8], one.path, one.context))

    def _add_metrics(self) -> None:
        contents = {one.file: _load(self.repository.file(one.file)) for one in self.metrics}
        values: dict[str, dict[str, Any]] = {}
        for file, content in contents.items():
            named = content if isinstance(content, dict) else {PurePosixPath(file).stem: content}
            values[file] = {key: one for key, one in flattened(named) if not isinstance(one, list)}
        prefixes = _prefixes(values)
        for file, own in values.items():
            self._add(self.result, ((prefixes[file] + key, value) for key, value in own.items()))
        for one in self.metrics:
            if one.per:
                content = contents[one.file]
                held = content.get(one.per.list) if isinstance(content, dict) else None
                if not isinstance(held, list) or not all(one.per.key in entry for entry in held):
                    accepted = f"a list {one.per.list!r} of objects that have {one.per.key!r}"
                    raise Unusable(f"meta.mlflow: {one.file}: per; accepted: {accepted}")
                self._add_per(one.per, held)

    def _add_per(self, per: Per, held: list[dict[str, Any]]) -> None:
        """Add the values of child runs, and their mean and standard deviation."""
        finals: dict[str, list[float]] = {}
        for entry in held:
            child = self._child({per.key: entry[per.key]})
            own = {key: value for key, value in entry.items() if key != per.key}
            for key, value in self._add(child, flattened(own)).items():
                finals.setdefault(key, []).append(value)
        for key, values in finals.items():
            if len(values) == len(held):  # a mean of those that did not diverge would mislead
                summary = {f"{key}_mean": statistics.fmean(values)}
                if len(values) > 1:
                    summary[f"{key}_std"] = statistics.stdev(values)
                self.result.add_finals({name: float(f"{value:.12g}") for name, value in summary.items()})

    def _add(self, run: ExpectedRun, items: abc.Iterable[tuple[str, Any]]) -> dict[str, float]:
        """Add finite numbers as final values and words as tags of a run; return the numbers."""
        numbers: dict[str, float] = {}
        for key, value in items:
            name = metric_name(self.mapping, key)
            if (number := as_number(value)) is not None:
                if math.isfinite(number):
                    numbers[name] = number
            elif isinstance(value, str | bool):
                run.tags[name] = canonical(value)[:500]
        run.add_finals(numbers)
        return numbers

    def _child(self, values: abc.Mapping[str, Any]) -> ExpectedRun:
        child = child_run(self.stage.name, self.mapping, values)
        return self.result.children.setdefault(child.key, child)

    def _curves(self) -> abc.Iterator[tuple[Curves, str]]:
        """Yield what holds curves, with the prefix of their names."""
        if self.mapping.curves is not None:
            yield from ((one, "") for one in self.mapping.curves)
            return
        found: dict[str, tuple[str, set[str]]] = {}
        for path, x in self.stage.plots.items():
            for file, local in self._members(path):
                if local.suffix in TABLES and local.stat().st_size < LARGEST_PLOT_BYTES:
                    rows = _table(local)
                    step = next((name for name in (x, *STEPS) if name and rows and name in rows[0]), None)
                    steps = [as_number(row.get(step)) for row in rows] if step else []
                    distinct = len(set(steps)) == len(steps)  # else there are several curves, of unknown kind
                    if step and distinct and all(one is not None and one.is_integer() for one in steps):
                        found[file] = step, rows[0].keys() - {step}
        prefixes = _prefixes({file: columns for file, (_, columns) in found.items()})
        for file, (step, _) in found.items():
            yield Curves.model_construct(file=file, step=step), prefixes[file]

    def _members(self, path: str) -> list[tuple[str, Path]]:
        """List the files at `path`, which may be a folder."""
        local = self.repository.file(path)
        if local.is_dir():
            return [(f"{path}/{name}", file) for name, file in files_in(local).items()]
        return [(path, local)]

    def _add_curves(self, curves: Curves, prefix: str) -> None:
        for row in self._rows(curves.file, [curves.step, *curves.run_per, *(curves.metrics or [])]):
            identity = {name: row[name] for name in curves.run_per}
            run = self._child(identity) if identity else self.result
            step = as_finite(row[curves.step])
            if step is None or not step.is_integer():
                found = f"{curves.file}: column {curves.step!r}: {row[curves.step]!r}"
                raise Unusable(f"meta.mlflow: {found}; accepted: a whole number")
            for name in curves.metrics or row.keys() - {curves.step, *curves.run_per}:
                value = as_finite(row[name])
                if value is not None:
                    curve = run.curves.setdefault(metric_name(self.mapping, prefix + name), {})
                    if curve.setdefault(int(step), value) != value:
                        found = f"{curves.file}: two values at {curves.step} {step:g}"
                        accepted = "one, or `run_per` with the columns that tell runs apart"
                        raise Unusable(f"meta.mlflow: {found}; accepted: {accepted}")

    def _rows(self, file: str, columns: list[str]) -> list[dict[str, Any]]:
        """Read a table that must have `columns`."""
        rows = _table(self.repository.file(file))
        if missing := [name for name in columns if rows and name not in rows[0]]:
            raise Unusable(f"meta.mlflow: {file}: column {missing[0]!r}; accepted: {', '.join(rows[0])}")
        return rows

    def _add_rows(self, rows: Rows) -> None:
        named = [*rows.params, *rows.log, *(rows.metrics or []), *([rows.seconds] if rows.seconds else [])]
        found: set[str] = set()
        for row in self._rows(rows.file, named):
            child = self._child({name: row[name] for name in rows.params})
            if child.key in found:
                accepted = "columns that tell rows apart"
                raise Unusable(f"meta.mlflow: {rows.file}: params: {child.key!r} twice; accepted: {accepted}")
            found.add(child.key)
            for name, base in rows.log.items():
                if (number := as_number(row[name])) is not None and number > 0:
                    child.params[f"log{base}_{name}"] = canonical(round(math.log(number, base), 6))
            if rows.seconds:
                child.seconds = as_finite(row[rows.seconds])
            used = {*rows.params, rows.seconds}
            self._add(child, ((name, row[name]) for name in rows.metrics or row if name not in used))

    def _add_files(self) -> None:
        wanted = self.mapping.artifacts
        added: set[Path] = set()  # a plot may be named by its folder too
        for path in [*wanted, *(one.file for one in self.metrics), *self.stage.plots]:
            for file, local in self._members(path):
                if local not in added and (path in wanted or local.stat().st_size < LARGEST_PLOT_BYTES):
                    added.add(local)
                    name = PurePosixPath(file).relative_to(PurePosixPath(path).parent).as_posix()
                    taken = name in self.result.artifacts  # by a file of another folder
                    self.result.artifacts[file if taken else name] = local
        if model := self.mapping.model:
            local = self.result.model_path = self.repository.file(model.file)
            keras = model.flavour == "keras"
            if not (zipfile.is_zipfile(local) if keras else (local / "MLmodel").is_file()):
                accepted = "a .keras file" if keras else "a folder with the file MLmodel"
                raise Unusable(f"meta.mlflow: {model.file}: flavour {model.flavour}; accepted: {accepted}")


def _prefixes(names: abc.Mapping[str, abc.Iterable[str]]) -> dict[str, str]:
    """Return, by file, the prefix of the names within it, so that two files may hold the same name.

    It is the part of the path in which these files differ. DVCLive's plots are named by their folder
    below plots/metrics, as in its metrics.json: `train.` for plots/metrics/train/acc.tsv.
    """
    prefixes = {}
    for file, own in names.items():
        _, live, below = file.rpartition("plots/metrics/")
        if live:
            prefixes[file] = "".join(f"{one}." for one in PurePosixPath(below).parts[:-1])
            continue
        alike = [
            PurePosixPath(one).with_suffix("").parts for one, others in names.items() if {*own} & {*others}
        ]
        begin, end = (len(os.path.commonprefix([one[::way] for one in alike])) for way in (1, -1))
        parts = PurePosixPath(file).with_suffix("").parts
        prefixes[file] = "".join(f"{one}." for one in parts[begin : max(begin, len(parts) - end)])
    return prefixes


def parameters(stage: Stage) -> dict[str, str]:
    """Flatten a stage's parameters; those of a foreach item lose what leads to the item."""
    item = stage.name.partition("@")[2]
    short: dict[str, str] = {}
    for key, value in flattened(stage.params):
        name = re.sub(rf"^(.*\.)?{re.escape(item)}\.", "", key) if item else key
        short[_clean(key if name in short else name)] = canonical(value)[:6000]
    return short


def flattened(value: Any, prefix: str = "") -> abc.Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dictionaries, their keys joined by dots. Lists are leaves."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flattened(inner, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix("."), value


def as_number(value: Any) -> float | None:
    """Return the number that a value or a cell of a table is, else None.

    Strings count too: YAML 1.1 reads `1e-7` as a string.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def as_finite(value: Any) -> float | None:
    """Return a number that MLflow can hold, else None."""
    number = as_number(value)
    return number if number is not None and math.isfinite(number) else None


def canonical(value: Any) -> str:
    """Write a value in the one way in which every run has it: 0.01, 1e-07, 100, full, true."""
    number = as_number(value)
    if number is not None and (not isinstance(value, str) or NUMBER.fullmatch(value)):
        short = f"{number:.15g}"
        return short if float(short) == number else repr(number)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def child_run(stage: str, mapping: Mapping, values: abc.Mapping[str, Any]) -> ExpectedRun:
    """Return the child run that `values` identify among its siblings, with nothing but them."""
    order = mapping.rows.params if mapping.rows else []
    names = sorted(values, key=lambda name: order.index(name) if name in order else len(order))
    shown = {name: canonical(values[name]) for name in names}
    title = ", ".join(f"{name} {value}" for name, value in shown.items())
    key = " ".join(f"{name}={value}" for name, value in shown.items())
    return ExpectedRun(title if mapping.rows else f"{stage}, {title}", key, shown)


def metric_name(mapping: Mapping, key: str) -> str:
    """Return the name under which MLflow shows a key of a file."""
    return _clean(mapping.names.get(key, key))


def _clean(name: str) -> str:
    """Replace what MLflow accepts in no name."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250] or "_"


def _load(path: Path) -> Any:
    """Read a JSON, YAML or TOML file as DVC does."""
    from dvc.utils.serialize import PARSERS

    return PARSERS[path.suffix](path.read_text(encoding="utf-8"), str(path))


def _table(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a CSV, TSV, JSON or YAML table."""
    if path.suffix in (".csv", ".tsv"):
        with open(path, encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    content = _load(path)
    if isinstance(content, dict):
        content = next((value for value in content.values() if isinstance(value, list)), [])
    return [row for row in content if isinstance(row, dict)]

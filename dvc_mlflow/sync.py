"""Compare MLflow's runs with what DVC holds; replay what is missing, mark what is stale, move aliases."""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dvc_mlflow import models, process, runs, views
from dvc_mlflow.errors import Unusable
from dvc_mlflow.expected import LISTING, Expectation, ExpectedRun, ExpectedStage, read_each
from dvc_mlflow.provenance import Place
from dvc_mlflow.runs import PARENT, PROCESS, STATE
from dvc_mlflow.store import Store, open_store

LOCK = ".dvc/tmp/dvc-mlflow.lock"


class Difference(NamedTuple):
    """A place where MLflow does not show what DVC holds."""

    what: str
    dvc: str
    mlflow: str


class Step(NamedTuple):
    """Differences, and the function that ends them and says so."""

    differences: list[Difference]
    do: Callable[[], str]


class Logged(NamedTuple):
    """The mirror's runs in some experiments: of stages by identity, child runs by the id of their parent."""

    stages: dict[str, list[Any]]
    children: dict[str, list[Any]]


@dataclass
class Match:
    """The run that shows a stage best, what is wrong with it, and which child runs are missing or extra."""

    run: Any | None
    wrong: list[str]
    missing: list[str] = field(default_factory=list)
    extra: list[Any] = field(default_factory=list)

    def rank(self) -> tuple[bool, int]:
        """Return a key by which the best of several matches sorts first."""
        return bool(self.wrong), len(self.missing) + len(self.extra)


def sync(
    place: Place, revisions: list[str | None], uri: str | None, move_alias: bool = False
) -> tuple[list[str], list[str]]:
    """Make MLflow show what DVC holds at `revisions`, None for the working tree.

    Returns:
        What was done, and what could not be done.
    """
    done: list[str] = []
    undone: list[str] = []
    with process.file_lock(place.root / LOCK), tempfile.TemporaryDirectory() as temporary:
        reading = process.call_in_process(read_each, place, revisions, Path(temporary))
        store = open_store(place.root, uri)
        assert store
        for revision, expectation in zip(revisions, reading(), strict=True):
            if isinstance(expectation, Unusable):
                undone.append(str(expectation))
                continue
            experiments = [store.experiment(stage.experiment) for stage in expectation.stages]
            logged = fetch(store, experiments)
            done += [step.do() for step in _steps(store, expectation, logged, revision is None, move_alias)]
            undone += expectation.unusable.values()
            if revision is None:
                done += views.save(store, expectation.stages)
    return done, undone


def check(place: Place, revision: str | None, uri: str | None) -> list[Difference]:
    """List every difference between DVC and MLflow; nothing is changed. Raises Unusable."""
    with tempfile.TemporaryDirectory() as temporary:
        reading = process.call_in_process(read_each, place, [revision], Path(temporary))
        store = open_store(place.root, uri, create=False)
        (expectation,) = reading()
        if isinstance(expectation, Unusable):
            raise expectation
        differences = [
            Difference(name, reason.removeprefix(f"{name}: "), "")
            for name, reason in expectation.unusable.items()
        ]
        if store is None:
            return differences + [
                Difference(one.name, "recorded", "no database") for one in expectation.stages
            ]
        names = sorted({stage.experiment for stage in expectation.stages})
        found = [store.client.get_experiment_by_name(name) for name in names]
        logged = fetch(store, [one.experiment_id for one in found if one and one.lifecycle_stage == "active"])
        for step in _steps(store, expectation, logged, revision is None):
            differences += step.differences
        return differences


def fetch(store: Store, experiments: list[str]) -> Logged:
    """Ask once for all runs of the experiments."""
    logged = Logged(defaultdict(list), defaultdict(list))
    for run in store.runs(sorted(set(experiments))):
        tags = run.data.tags
        if "dvc.stage" in tags and PARENT in tags:
            logged.children[tags[PARENT]].append(run)
        elif "dvc.stage" in tags:
            logged.stages[tags.get("dvc.outputs", "")].append(run)
    return logged


def _is_dead(run: Any) -> bool:
    """Return whether a run is running in MLflow although the process that would end it has died."""
    return run.info.status == "RUNNING" and process.has_ended(run.data.tags.get(PROCESS, ""))


def _end(store: Store, run: Any) -> str:
    store.client.set_terminated(run.info.run_id, "KILLED")
    return f"{run.info.run_name}: left running by a process that has died, ended"


def _steps(
    store: Store, expectation: Expectation, logged: Logged, current: bool, move_alias: bool = False
) -> Iterator[Step]:
    """Yield what is to be done, each step when the one before has been.

    Only the working tree, which is `current`, decides about states and aliases.
    """
    origin = {**expectation.origin, "dvc.replayed": "true"}
    origin[STATE] = "yes" if current else "no"
    shown: dict[str, Any] = {}
    for run in (run for groups in logged for group in groups.values() for run in group if _is_dead(run)):
        yield Step(
            [Difference(run.info.run_name, "its process has died", "running")], partial(_end, store, run)
        )
    for stage in expectation.stages:
        match = _best_match(store, stage, logged)
        if differences := _differences(stage, match):
            yield Step(differences, partial(_write, store, stage, match, origin, expectation.diff))
        shown[stage.name] = match.run
    if current:
        yield from _mark(store, expectation, logged, {run.info.run_id for run in shown.values() if run})
        yield from _move_aliases(store, expectation, shown, move_alias)


def _write(store: Store, stage: ExpectedStage, match: Match, origin: dict[str, str], diff: str) -> str:
    """Log what no run shows, and let `match` hold the run that shows the stage now."""
    if match.run and not match.wrong:
        for child in match.extra:
            store.client.delete_run(child.info.run_id)
        runs.write_children(store, stage, origin, match.run.info.run_id, match.missing)
        return f"{stage.name}: {len(match.missing)} child runs logged, {len(match.extra)} removed"
    match.run = store.client.get_run(runs.write_stage(store, stage, origin, diff))
    return f"{stage.name}: logged" + (f" with {len(stage.children)} child runs" if stage.children else "")


def _mark(store: Store, expectation: Expectation, logged: Logged, current: set[str]) -> Iterator[Step]:
    """Yield the runs whose tag STATE should change. Stages that could not be read are left alone."""
    due: list[tuple[Any, str]] = []
    for run in (run for found in logged.stages.values() for run in found):
        live = run.info.status == "RUNNING" and not _is_dead(run)
        if not live and run.data.tags["dvc.stage"] not in expectation.unusable:
            state = "yes" if run.info.run_id in current else "no"
            family = (run, *logged.children.get(run.info.run_id, []))
            due += [(one, state) for one in family if one.data.tags.get(STATE) != state]

    def do() -> str:
        store.each([partial(store.client.set_tag, run.info.run_id, STATE, state) for run, state in due])
        return f"{len(due)} runs: marked as in dvc.lock or not"

    if due:
        differences = [
            Difference(
                f"{run.info.run_name} ({run.info.run_id[:8]})",
                f"{STATE}: {state}",
                f"{STATE}: {run.data.tags.get(STATE, 'none')}",
            )
            for run, state in due
        ]
        yield Step(differences, do)


def _move_aliases(
    store: Store, expectation: Expectation, shown: dict[str, Any], move_alias: bool
) -> Iterator[Step]:
    """Yield the aliases that should move.

    Only agreed results count: dvc.lock is committed, and no stage is left out.
    """
    if not expectation.committed or expectation.unusable:
        return
    for (name, alias), stage in models.best_stages(expectation).items():
        bearer, run = models.bearer(store, name, alias), shown[stage.name] if stage else None
        if bearer is None if stage is None else run is None or bearer and models.holds(store, bearer, stage):
            continue
        held = models.describe_version(bearer)
        due = Difference(f"{name}@{alias}", stage.name if stage else "nobody", held)
        kind = models.differs_in_kind(store, bearer, run) if run and bearer and not move_alias else None
        if kind:
            stays = (
                f"stays with {due.mlflow}: {due.dvc} has {kind}; `dvc-mlflow sync --move-alias` hands it over"
            )
            yield Step([due], partial(str, f"{due.what}: {stays}"))
        else:
            yield Step([due], partial(models.give_alias, store, name, alias, stage, run))


def _differences(stage: ExpectedStage, match: Match) -> list[Difference]:
    """Describe what is wrong with the run that shows a stage."""
    found = [Difference(stage.name, "recorded", fault) for fault in match.wrong]
    count = len(stage.children)
    if len(match.missing) > 5:
        found.append(
            Difference(stage.name, f"{count} child runs", f"{count - len(match.missing)} that agree")
        )
    else:
        found += [
            Difference(f"{stage.name}, {key}", "recorded", "missing or different") for key in match.missing
        ]
    removed = "no such values", "a child run that sync removes"
    return found + [Difference(run.info.run_name, *removed) for run in match.extra]


def _best_match(store: Store, stage: ExpectedStage, logged: Logged) -> Match:
    """Find the run that shows a stage best: of equals a current one, then the newest."""
    found = [run for run in logged.stages[stage.identity] if run.info.status == "FINISHED"]
    found.sort(key=lambda run: (run.data.tags.get(STATE) != "yes", -run.info.start_time))
    matches = [_match(store, stage, run, logged.children[run.info.run_id]) for run in found]
    return min(matches, key=Match.rank, default=Match(None, ["no finished run"]))


def _match(store: Store, stage: ExpectedStage, run: Any, children: list[Any]) -> Match:
    """Compare a run and its child runs with a stage."""
    match = Match(run, [*_faults(store, run, stage), *_faults_beside(store, run, stage)])
    missing = dict.fromkeys(stage.children)
    keys = [child.data.tags.get("dvc.child", "") for child in children]
    pairs = [(child, stage.children.get(key)) for child, key in zip(children, keys, strict=True)]
    faults = store.each([partial(_faults, store, *pair) for pair in pairs])
    for child, key, wrong in zip(children, keys, faults, strict=True):
        if wrong or key not in missing:
            match.extra.append(child)
        else:
            del missing[key]
    match.missing = list(missing)
    return match


def _faults(store: Store, run: Any, expected: ExpectedRun | None) -> list[str]:
    """List where a run's parameters, metrics and tags are not as expected."""
    if expected is None or run.info.status != "FINISHED":
        return ["not expected or not finished"]
    wrong = [f"tag {key}" for key, value in expected.tags.items() if run.data.tags.get(key) != value]
    data: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "parameter": (expected.params, run.data.params),
        "metric": (expected.final(), run.data.metrics),
    }
    for kind, (due, held) in data.items():
        wrong += [f"{kind} {key}: {held.get(key, 'missing')}" for key in due if held.get(key) != due[key]]
        wrong += [f"{kind} {key}: extra" for key in held.keys() - due.keys()]
    for key, curve in ({} if wrong else expected.curves).items():
        if len(curve) > 1:
            history = store.client.get_metric_history(run.info.run_id, key)
            if curve != {one.step: one.value for one in sorted(history, key=lambda one: one.timestamp)}:
                wrong.append(f"curve {key}")
    return wrong


def _faults_beside(store: Store, run: Any, stage: ExpectedStage) -> list[str]:
    """List what is wrong with a run's datasets, artifacts and model."""
    held = {(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs}
    wrong = [f"dataset {name}: missing" for name, md5, *_ in stage.datasets if (name, md5) not in held]
    with tempfile.TemporaryDirectory() as temporary:
        listing = Path(temporary, LISTING)
        listing.write_text(stage.listing, encoding="utf-8")
        wrong += models.changed(store, run.info.artifact_uri, {**stage.artifacts, LISTING: listing})
    return wrong + models.faults(store, run, stage)

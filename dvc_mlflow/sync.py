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
from dvc_mlflow.expected import LISTING, Expectation, ExpectedRun, ExpectedStage, read
from dvc_mlflow.provenance import Place
from dvc_mlflow.runs import PARENT, PROCESS, STATE
from dvc_mlflow.store import Store, open_store

LOCK = ".dvc/tmp/dvc-mlflow.lock"
MOST_NAMED = 5
"""Child runs of a stage that `check` names; of more it says how many."""


class Step(NamedTuple):
    """The differences of something in MLflow from DVC, and the function that ends them and says so."""

    what: str
    differences: list[str]
    do: Callable[[], str]


@dataclass
class Match:
    """The run that shows a stage best: what is wrong with it, else which child runs are missing or extra."""

    run: Any | None
    wrong: list[str]
    missing: list[str] = field(default_factory=list)
    extra: list[Any] = field(default_factory=list)


def sync(
    place: Place, revisions: list[str | None], uri: str, move_alias: bool
) -> tuple[list[str], list[str]]:
    """Make MLflow show what DVC holds at `revisions`, None for the working tree.

    Returns:
        What was done, and what could not be done.
    """
    done: list[str] = []
    undone: list[str] = []
    with process.file_lock(place.root / LOCK), tempfile.TemporaryDirectory() as temporary:
        store = open_store(place.root, uri)
        for number, revision in enumerate(revisions):
            try:
                expectation = read(place, revision, Path(temporary, str(number)))
            except Unusable as error:
                undone.append(str(error))
                continue
            experiments = {store.experiment(stage.experiment) for stage in expectation.stages}
            done += [step.do() for step in _steps(store, expectation, experiments, move_alias)]
            undone += expectation.unusable.values()
            if expectation.current:
                done += views.update(store, expectation.stages)
    return done, undone


def check(place: Place, revision: str | None, uri: str) -> list[tuple[str, str]]:
    """List every difference between DVC and MLflow, and what it concerns; nothing is changed.

    Raises:
        Unusable: Nothing can be compared.
    """
    with tempfile.TemporaryDirectory() as temporary:
        expectation = read(place, revision, Path(temporary))
        store = open_store(place.root, uri, create=False)
        found = [(name, reason.removeprefix(f"{name}: ")) for name, reason in expectation.unusable.items()]
        known = map(store.client.get_experiment_by_name, {stage.experiment for stage in expectation.stages})
        experiments = {one.experiment_id for one in known if one and one.lifecycle_stage == "active"}
        steps = _steps(store, expectation, experiments)
        return found + [(step.what, difference) for step in steps for difference in step.differences]


def _steps(
    store: Store, expectation: Expectation, experiments: set[str], move_alias: bool = False
) -> Iterator[Step]:
    """Yield what is to be done, each step when the one before has been.

    Only the working tree decides about states and aliases.
    """
    current = expectation.current
    logged = store.runs(sorted(experiments), "tags.`dvc.stage` LIKE '%'")
    children: dict[str, list[Any]] = defaultdict(list)
    stages: dict[str, list[Any]] = defaultdict(list)
    for run in logged:
        tags = run.data.tags
        (children[tags[PARENT]] if PARENT in tags else stages[tags.get("dvc.outputs", "")]).append(run)
        if _is_dead(run):
            yield Step(run.info.run_name, ["running, but its process has died"], partial(_end, store, run))
    origin = {**expectation.origin, "dvc.replayed": "true", STATE: "yes" if current else "no"}
    shown: dict[str, Any] = {}
    for stage in expectation.stages:
        match = _best_match(store, stage, stages[stage.identity], children)
        if differences := _differences(stage, match):
            yield Step(
                stage.name, differences, partial(_write, store, stage, match, origin, expectation.diff)
            )
            removed = {run.info.run_id for run in match.extra}
            logged = [run for run in logged if run.info.run_id not in removed]
        shown[stage.name] = match.run  # which the step has set, where it was done
    if current:
        yield from _mark(store, expectation, logged, {run.info.run_id for run in shown.values() if run})
        yield from _move_aliases(store, expectation, shown, move_alias)


def _is_dead(run: Any) -> bool:
    """Return whether a run is running in MLflow although the process that would end it has died."""
    return run.info.status == "RUNNING" and process.has_ended(run.data.tags.get(PROCESS, ""))


def _end(store: Store, run: Any) -> str:
    store.client.set_terminated(run.info.run_id, "KILLED")
    return f"{run.info.run_name}: left running by a process that has died, ended"


def _write(store: Store, stage: ExpectedStage, match: Match, origin: dict[str, str], diff: str) -> str:
    """Log what no run shows, and let `match` hold the run that shows the stage now."""
    if match.run and not match.wrong:
        for child in match.extra:
            store.client.delete_run(child.info.run_id)
        runs.write_children(store, stage, origin, match.run.info.run_id, match.missing, {})
        return f"{stage.name}: {len(match.missing)} child runs logged, {len(match.extra)} removed"
    match.run = store.client.get_run(runs.write_stage(store, stage, origin, diff, {}))
    return f"{stage.name}: logged" + (f" with {len(stage.children)} child runs" if stage.children else "")


def _mark(store: Store, expectation: Expectation, logged: list[Any], current: set[str]) -> Iterator[Step]:
    """Yield the runs whose tag STATE should change; not those of stages that run or could not be read."""
    running = {run.info.run_id for run in logged if run.info.status == "RUNNING" and not _is_dead(run)}
    due: list[tuple[Any, str]] = []
    for run in logged:
        tags = run.data.tags
        parent = tags.get(PARENT, run.info.run_id)
        state = "yes" if parent in current else "no"
        left_alone = parent in running or tags["dvc.stage"] in expectation.unusable
        if not left_alone and tags.get(STATE) != state:
            due.append((run, state))

    def do() -> str:
        store.each([partial(store.client.set_tag, run.info.run_id, STATE, state) for run, state in due])
        return f"{len(due)} runs: marked as in dvc.lock or not"

    if due:
        named = [f"{run.info.run_name} ({run.info.run_id[:8]}): should be {state}" for run, state in due]
        yield Step(f"tag {STATE}", named, do)


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
        unknown = [] if stage else models.unknown_names(expectation, name, alias)
        if (stage and not run) or (models.is_of(bearer, run) and not unknown):
            continue
        what = f"{name}@{alias}"
        held = f"version {bearer.version}, {bearer.tags.get('dvc.stage')}" if bearer else "nobody"
        due = f"run {run.info.run_id[:8]}, {stage.name}" if stage and run else "nobody"
        differences = [f"{held}; should be {due}"]
        kind = models.differs_in_kind(bearer, stage) if stage and bearer and not move_alias else None
        move = partial(models.give_alias, store, name, alias, stage, run)
        if kind and stage:
            stays = f"{what}: stays with {held}: {stage.name} has {kind}"
            move = partial(str, f"{stays}; `dvc-mlflow sync --move-alias` hands it over")
        if unknown:
            differences = [f"{held}; best: no stage has {', '.join(unknown)}"]
            move = partial(str, f"{what}: stays with {differences[0]}")
        yield Step(what, differences, move)


def _differences(stage: ExpectedStage, match: Match) -> list[str]:
    """Describe how the run that shows a stage differs from it."""
    found = [f"child run {key}: missing or different" for key in match.missing]
    found += [f"child run {run.info.run_name}: is not what DVC has" for run in match.extra]
    if len(found) > MOST_NAMED:
        found[MOST_NAMED:] = [f"{len(found) - MOST_NAMED} more child runs"]
    return match.wrong + found


def _best_match(
    store: Store, stage: ExpectedStage, logged: list[Any], children: dict[str, list[Any]]
) -> Match:
    """Find the run that shows a stage best: of equals a current one, then the newest."""
    found = [run for run in logged if run.info.status == "FINISHED"]
    found.sort(key=lambda run: (run.data.tags.get(STATE) != "yes", -run.info.start_time))
    matches = [_match(store, stage, run, children[run.info.run_id]) for run in found]
    return min(
        matches,
        key=lambda match: (bool(match.wrong), len(match.missing) + len(match.extra)),
        default=Match(None, ["no finished run"]),
    )


def _match(store: Store, stage: ExpectedStage, run: Any, children: list[Any]) -> Match:
    """Compare a run and its child runs with a stage."""
    if wrong := [*_faults(run, stage), *_faults_beside(store, run, stage)]:
        return Match(run, wrong)
    missing, extra = dict(stage.children), []
    for child in children:
        key = child.data.tags.get("dvc.child", "")
        if key in missing and not _faults(child, missing[key]):
            del missing[key]
        else:
            extra.append(child)
    return Match(run, [], list(missing), extra)


def _faults(run: Any, expected: ExpectedRun) -> list[str]:
    """List where a run's parameters, metrics (their last values) and tags are not as expected."""
    if run.info.status != "FINISHED":
        return ["not finished"]
    wrong = [f"tag {key}" for key, value in expected.tags.items() if run.data.tags.get(key) != value]
    data: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "parameter": (expected.params, run.data.params),
        "metric": (expected.final(), run.data.metrics),
    }
    for kind, (due, held) in data.items():
        wrong += [f"{kind} {key}: {held.get(key, 'missing')}" for key in due if held.get(key) != due[key]]
        wrong += [f"{kind} {key}: extra" for key in held.keys() - due.keys()]
    steps = {one.key: one.step for one in run.data.to_proto().metrics}
    ends = {key: max(curve) for key, curve in expected.curves.items()}
    return wrong or [f"curve {key}: ends at step {steps[key]}" for key in ends if steps[key] != ends[key]]


def _faults_beside(store: Store, run: Any, stage: ExpectedStage) -> list[str]:
    """List what is wrong with a run's datasets, artifacts and model."""
    held = {(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs}
    wrong = [f"dataset {name}: missing" for name, md5, *_ in stage.datasets if (name, md5) not in held]
    with tempfile.TemporaryDirectory() as temporary:
        listing = Path(temporary, LISTING)
        listing.write_text(stage.listing, encoding="utf-8")
        wrong += models.changed(store, run.info.artifact_uri, {**stage.artifacts, LISTING: listing})
    return wrong + models.faults(store, run, stage)

"""Match MLflow's runs to what DVC holds: replay what is missing, mark what is stale, move aliases."""

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from dvc_mlflow import elsewhere, models, process, provenance, views, write
from dvc_mlflow.expected import LISTING, Expectation, ExpectedRun, ExpectedStage, read
from dvc_mlflow.lock import Unusable, digest
from dvc_mlflow.store import Store, open_store
from dvc_mlflow.write import PARENT, PROCESS, STATE

LOCK = ".dvc/tmp/dvc-mlflow.lock"
Curves = dict[tuple[str, str], dict[int, float]]
"""The value at each step, by the run's id and the metric's name."""


class Difference(NamedTuple):
    """Where MLflow does not show what DVC holds."""

    what: str
    dvc: str
    mlflow: str


@dataclass
class Held:
    """The mirror's runs in some experiments: of stages by identity, child runs by the id of their parent."""

    stages: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    children: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Match:
    """The run that shows a stage best, what is wrong with it, and which child runs lack or are too many."""

    expected: ExpectedStage
    run: Any | None
    wrong: list[str]
    missing: set[str] = field(default_factory=set)
    superfluous: list[Any] = field(default_factory=list)

    def differences(self) -> Iterator[Difference]:
        """Describe what is wrong."""
        name, count = self.expected.name, len(self.expected.children)
        yield from (Difference(name, "recorded", fault) for fault in self.wrong)
        if len(self.missing) > 5:
            yield Difference(name, f"{count} child runs", f"{count - len(self.missing)} that agree")
        else:
            yield from (
                Difference(f"{name}, {key}", "recorded", "missing or different") for key in self.missing
            )
        yield from (Difference(run.info.run_name, "nothing", "such a child run") for run in self.superfluous)


def sync(
    root: Path, workspace: Path, revisions: list[str | None], uri: str | None, move_alias: bool = False
) -> tuple[list[str], list[str]]:
    """Make MLflow show what DVC holds at `revisions`, None for the working tree.

    Returns:
        What was done, and what could not be done.
    """
    done: list[str] = []
    undone: list[str] = []
    with process.only_one(root / LOCK), tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary, str(number)) for number in range(len(revisions))]
        reading = elsewhere.call(read, workspace, revisions[0], None, folders[0])
        store = open_store(root, uri)
        assert store
        expectation: Expectation = reading()
        current = {stage.identity for stage in _working_tree(workspace, revisions, expectation)}
        for run in reap(store, _ids(store, expectation, create=True)):
            done.append(f"{run.info.run_name}: left running by a process that has died, ended")
        for revision, folder in zip(revisions, folders, strict=True):
            if folder != folders[0]:
                expectation = elsewhere.call(read, workspace, revision, None, folder)()
            held = fetch(store, _ids(store, expectation, create=True))
            matches = compare(store, expectation.stages, held)
            done += _write(store, expectation, matches, current)
            undone += expectation.unusable.values()
            if revision is None:
                if not all(match.run and not (match.wrong or match.missing) for match in matches):
                    held = fetch(store, _ids(store, expectation, create=True))
                    matches = compare(store, expectation.stages, held)
                done += _settle(store, expectation, held, matches, move_alias)
    return done, undone


def _working_tree(workspace: Path, revisions: list[str | None], first: Expectation) -> list[ExpectedStage]:
    try:
        return first.stages if revisions[0] is None else elsewhere.call(read, workspace)().stages
    except Unusable:
        return []


def check(root: Path, workspace: Path, revision: str | None, uri: str | None) -> list[Difference]:
    """List every difference between DVC and MLflow; nothing is changed."""
    with tempfile.TemporaryDirectory() as temporary:
        reading = elsewhere.call(read, workspace, revision, None, Path(temporary))
        store = open_store(root, uri, create=False)
        expectation: Expectation = reading()
        found = [Difference(name, reason, "") for name, reason in expectation.unusable.items()]
        if store is None:
            return found + [Difference(stage.name, "recorded", "no database") for stage in expectation.stages]
        held = fetch(store, _ids(store, expectation, create=False))
        matches = compare(store, expectation.stages, held)
        found += [difference for match in matches for difference in match.differences()]
        if revision is None:
            for run, state in _states_due(expectation, held, matches):
                held_state = f"{STATE}: {run.data.tags.get(STATE, 'none')}"
                found.append(
                    Difference(
                        f"{run.info.run_name} ({run.info.run_id[:8]})", f"{STATE}: {state}", held_state
                    )
                )
            found += [Difference(run.info.run_name, "its process has died", "running") for run in _dead(held)]
            for name, alias, stage, bearer, _ in _aliases(store, expectation, matches):
                due = stage.stage if stage else "nobody"
                found.append(Difference(f"{name}@{alias}", due, models.described(bearer)))
    return found


def _ids(store: Store, expectation: Expectation, create: bool) -> list[str]:
    """Return the ids of the experiments that the stages belong to."""
    names = sorted({stage.experiment for stage in expectation.stages})
    if create:
        return [store.experiment(name) for name in names]
    found = [store.find(name) for name in names]
    return [one.experiment_id for one in found if one and one.lifecycle_stage == "active"]


def fetch(store: Store, experiments: list[str]) -> Held:
    """Ask once for all runs of the experiments."""
    held = Held()
    for run in store.runs(experiments):
        tags = run.data.tags
        if "dvc.stage" in tags and PARENT in tags:
            held.children[tags[PARENT]].append(run)
        elif "dvc.stage" in tags:
            held.stages[tags.get("dvc.outputs", "")].append(run)
    return held


def compare(store: Store, stages: Iterable[ExpectedStage], held: Held) -> list[Match]:
    """Find the run that shows each stage best: a current one before others, then the newest."""
    candidates: list[tuple[ExpectedStage, list[Any]]] = []
    wanted: dict[str, set[str]] = {}
    for stage in stages:
        runs = [run for run in held.stages.get(stage.identity, []) if run.info.status == "FINISHED"]
        runs.sort(key=lambda run: (run.data.tags.get(STATE) != "yes", -run.info.start_time))
        candidates.append((stage, runs))
        for run in runs:
            children = (
                (child, stage.children.get(child.data.tags.get("dvc.child", "")))
                for child in held.children.get(run.info.run_id, [])
            )
            for one, expected in [(run, stage), *children]:
                if expected and (
                    keys := {key for key, step in expected.points if step} & one.data.metrics.keys()
                ):
                    wanted[one.info.run_id] = keys
    curves = histories(store, wanted)
    return [_match(store, stage, runs, held, curves) for stage, runs in candidates]


def _match(store: Store, stage: ExpectedStage, runs: list[Any], held: Held, curves: Curves) -> Match:
    best = Match(stage, None, ["no finished run"])
    for run in runs:
        match = Match(stage, run, [*differences(run, stage, curves), *_beside(store, run, stage)])
        match.missing = set(stage.children)
        for child in held.children.get(run.info.run_id, []):
            key = child.data.tags.get("dvc.child", "")
            agrees = key in match.missing and child.info.status == "FINISHED"
            if agrees and not differences(child, stage.children[key], curves):
                match.missing.remove(key)
            else:
                match.superfluous.append(child)
        if not (match.wrong or match.missing or match.superfluous):
            return match
        if best.run is None or (best.wrong and not match.wrong):
            best = match
    return best


def histories(store: Store, wanted: dict[str, set[str]]) -> Curves:
    """Ask for whole curves: a database for many runs at once, a server for several side by side."""
    found: Curves = defaultdict(dict)
    newest: dict[tuple[str, str, int], int] = defaultdict(int)

    def note(run: str, metric: Any) -> None:
        if newest[run, metric.key, metric.step] <= metric.timestamp:
            newest[run, metric.key, metric.step] = metric.timestamp
            found[run, metric.key][metric.step] = metric.value

    bulk = (
        None
        if store.remote
        else getattr(store.client._tracking_client.store, "get_metric_history_bulk", None)
    )
    with store.asking() as progress, ThreadPoolExecutor(write.REQUESTS if store.remote else 1) as pool:
        if bulk:
            for key in sorted({key for keys in wanted.values() for key in keys}):
                for one in bulk([run for run, keys in wanted.items() if key in keys], key, 10_000_000):
                    note(one.run_id, one)
                progress()
            return found
        pairs = [(run, key) for run, keys in wanted.items() for key in keys]
        answers = pool.map(lambda pair: store.client.get_metric_history(*pair), pairs)
        for (run, _), curve in zip(pairs, answers, strict=True):
            for metric in curve:
                note(run, metric)
            progress()
    return found


def differences(run: Any, expected: ExpectedRun, curves: Curves) -> list[str]:
    """List where a run's parameters, metrics and tags are not as expected."""
    wrong = [f"tag {key}" for key, value in expected.tags.items() if run.data.tags.get(key) != value]
    wanted: dict[str, dict[str, Any]] = {"parameter": expected.params, "metric": expected.final()}
    for kind, data in (("parameter", run.data.params), ("metric", run.data.metrics)):
        due = wanted[kind]
        wrong += [f"{kind} {key}: {data.get(key, 'missing')}" for key in due if data.get(key) != due[key]]
        wrong += [f"{kind} {key}: superfluous" for key in data.keys() - due.keys()]
    steps: dict[str, dict[int, float]] = defaultdict(dict)
    for (key, step), value in expected.points.items():
        steps[key][step] = value
    held = (
        (key, curve, curves.get((run.info.run_id, key))) for key, curve in steps.items() if len(curve) > 1
    )
    return wrong + [f"curve {key}" for key, curve, shown in held if curve != shown]


def _beside(store: Store, run: Any, stage: ExpectedStage) -> list[str]:
    """List what is wrong with a run's datasets, artifacts and model."""
    held = {(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs}
    wrong = [f"dataset {one.name}: missing" for one in stage.datasets if (one.name, one.digest) not in held]
    with tempfile.TemporaryDirectory() as temporary, store.asking(write.UPLOAD_S):
        uri = run.info.artifact_uri
        if uri.startswith(("file:", "/")):
            folder = Path(unquote(urlsplit(uri).path) if uri.startswith("file:") else uri)
        else:
            folder = Path(store.client.download_artifacts(run.info.run_id, "", temporary))
        listing = Path(temporary, LISTING + ".expected")
        listing.write_text(stage.listing, encoding="utf-8")
        for name, path in {**stage.artifacts, LISTING: listing}.items():
            copy = folder / name
            if not copy.is_file():
                wrong.append(f"artifact {name}: missing")
            elif copy.stat().st_size != path.stat().st_size or digest(copy) != digest(path):
                wrong.append(f"artifact {name}: changed")
        return wrong + models.faults(store, run, stage)


def _write(store: Store, expectation: Expectation, matches: list[Match], current: set[str]) -> list[str]:
    """Log what no run shows."""
    done = []
    origin = {**expectation.origin, "mlflow.user": provenance.user(), "dvc.replayed": "true"}
    for match in matches:
        stage, missing = match.expected, len(match.missing)
        state = "yes" if stage.identity in current else "no"
        if match.run is None or match.wrong:
            write.write_stage(store, stage, origin, state, expectation.diff)
            count = f" with {len(stage.children)} child runs" if stage.children else ""
            done.append(f"{stage.name}: logged{count}")
        elif match.missing or match.superfluous:
            for child in match.superfluous:
                store.client.delete_run(child.info.run_id)
            held = {key: "" for key in stage.children if key not in match.missing}
            write.write_children(store, stage, origin, state, write.Begun(match.run.info.run_id, held))
            done.append(f"{stage.name}: {missing} child runs logged, {len(match.superfluous)} removed")
    return done


def _settle(
    store: Store, expectation: Expectation, held: Held, matches: list[Match], move_alias: bool
) -> list[str]:
    """Mark runs as current or stale, move aliases and save views, as the working tree has them."""
    done = []
    due = list(_states_due(expectation, held, matches))
    if due:
        marking = [partial(store.client.set_tag, run.info.run_id, STATE, state) for run, state in due]
        write.side_by_side(store, marking)
        done.append(f"{len(due)} runs: marked as in dvc.lock or not")
    for name, alias, stage, bearer, run in _aliases(store, expectation, matches):
        with store.asking(write.UPLOAD_S):
            reason = (
                models.differs_in_kind(store, bearer, run) if stage and bearer and not move_alias else None
            )
            if reason and stage:
                stays = f"stays with {models.described(bearer)}: {stage.stage} has {reason}"
                done.append(f"{name}@{alias}: {stays}; `dvc-mlflow sync --move-alias` hands it over")
            else:
                done.append(models.give_alias(store, name, alias, stage, run))
    return done + views.save(store, expectation.stages)


def _aliases(
    store: Store, expectation: Expectation, matches: list[Match]
) -> Iterator[tuple[str, str, ExpectedStage | None, Any, Any]]:
    """Yield the aliases that should move: name, alias, the stage that should bear it, who does, and its run.

    Only agreed results count: dvc.lock is committed, and no stage is left out.
    """
    runs = {match.expected.name: match.run for match in matches}
    if not expectation.committed or expectation.unusable:
        return
    for (name, alias), stage in models.best(expectation).items():
        run = runs.get(stage.name) if stage else None
        with store.asking(write.UPLOAD_S):
            bearer = models.bearer(store, name, alias)
            due = (stage is None or run is not None) and models.is_due(store, bearer, stage)
        if due:
            yield name, alias, stage, bearer, run


def _states_due(expectation: Expectation, held: Held, matches: list[Match]) -> Iterator[tuple[Any, str]]:
    """Yield the runs whose tag STATE should change. Stages that could not be read are left alone."""
    current = {match.run.info.run_id for match in matches if match.run}
    for run in (run for runs in held.stages.values() for run in runs):
        if run.info.status != "RUNNING" and run.data.tags["dvc.stage"] not in expectation.unusable:
            state = "yes" if run.info.run_id in current else "no"
            family = (run, *held.children.get(run.info.run_id, []))
            yield from ((one, state) for one in family if one.data.tags.get(STATE) != state)


def _dead(held: Held) -> list[Any]:
    """Return the runs that are running in MLflow although the process that would end them has died."""
    runs = (run for group in (*held.stages.values(), *held.children.values()) for run in group)
    return [
        run
        for run in runs
        if run.info.status == "RUNNING" and process.has_ended(run.data.tags.get(PROCESS, ""))
    ]


def reap(store: Store, experiments: list[str]) -> list[Any]:
    """End the runs whose process has died as KILLED, and return them."""
    running = store.runs(experiments, "attributes.status = 'RUNNING'")
    found = [run for run in running if process.has_ended(run.data.tags.get(PROCESS, ""))]
    write.side_by_side(store, [partial(write.finish, store, run.info.run_id, "KILLED") for run in found])
    return found

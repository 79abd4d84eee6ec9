"""Making MLflow agree with a snapshot of the repository."""

from stages.core.mirror import current as mirror
from stages.core.mirror import lockfile, registry, report_run, runs, sweep_mirror, sweep_record
from stages.core.mirror.agreement import View, judged, usable, view
from stages.core.mirror.current import Match, Shown
from stages.core.mirror.snapshot import Snapshot
from stages.core.mirror.store import Store


def repair(store: Store, snapshot: Snapshot, working: Snapshot | None) -> tuple[list[str], list[str]]:
    """Log what is missing, mend states and the champion: what was done, and what could not be, in lines.

    `working` is the working tree, if that is known: the snapshot itself, or what tells whether a
    run of another commit is current as well.
    """
    done = [f"{name}: had been left running, is ended" for name in mirror.reap(store)]
    seen = view(store, snapshot)
    for match in seen.matches:
        if match.shown is None:
            name = match.record.name
            _replay(store, snapshot, match, _state(snapshot, working, f"train@{name}"))
            done.append(f"{name}: replayed from its files ({match.disagreements[0].mlflow})")
    if seen.report and not seen.report_shown:
        state, origin = _state(snapshot, working, report_run.STAGE), snapshot.origin_of(report_run.STAGE)
        report_run.log(store, seen.report, origin | {"replayed": "true"}, state)
        done.append(f"{report_run.STAGE}: replayed from its files")
    if working is snapshot:
        done += _settle(store, seen)
    swept, unusable = _repair_sweep(store, snapshot, working)
    return done + swept, [*seen.unusable.values(), *unusable]


def _repair_sweep(store: Store, snapshot: Snapshot, working: Snapshot | None) -> tuple[list[str], list[str]]:
    unusable: dict[str, str] = {}
    wanted, done = usable(snapshot.sweep, sweep_record.STAGE, unusable), []
    if wanted:
        here = wanted if working is snapshot else working and usable(working.sweep, sweep_record.STAGE, {})
        origin = snapshot.origin_of(sweep_record.STAGE) | {"replayed": "true"}
        if count := sweep_mirror.log(store, wanted, origin, here or {}):
            done.append(f"{sweep_record.STAGE}: {count} of {len(wanted)} runs replayed from their files")
        if working is snapshot and (count := sweep_mirror.settle(store, wanted)):
            done.append(f"{sweep_record.STAGE}: the state of {count} runs is mended")
    return done, list(unusable.values())


def _replay(store: Store, snapshot: Snapshot, match: Match, state: str) -> None:
    record = match.record
    origin = snapshot.origin_of(f"{lockfile.TRAIN}{record.name}")
    runs.replay(store, record, snapshot.labels(), origin, state)


def _state(snapshot: Snapshot, working: Snapshot | None, stage: str) -> str:
    if working and working.stages.get(stage) == snapshot.stages[stage]:
        return "current"
    return "experiment" if "dvc.experiment" in snapshot.origin else "superseded"


def _settle(store: Store, seen: View) -> list[str]:
    done, everything = [], mirror.finished(store)
    for match in seen.matches:
        for run, key, value in mirror.tags_due(match) if match.shown else []:
            store.client.set_tag(run.info.run_id, key, value)
            done.append(f"{run.info.run_name}: tag {key} is {value}")
    current = _chosen(everything, seen)
    for run, state in mirror.states_due(judged(everything, seen), set(current.values())):
        store.client.set_tag(run.info.run_id, "state", state)
        done.append(f"{run.info.run_name} ({run.info.run_id[:8]}): is {state}")
    if not seen.unusable:
        best = registry.best([match.record for match in seen.matches])
        done += registry.set_champion(store, best, best and store.client.get_run(current[best.name]))
    return done


def _chosen(everything: list[Shown], seen: View) -> dict[str, str]:
    """The id of the run to be current, by model; `everything` was finished after all had been logged.

    Where none was `seen` before, another process may have logged the same at the same time. All
    that did come to the same choice, for what they choose from is in MLflow.
    """
    before = {shown.id for shown in seen.everything}
    since = [shown for shown in everything if shown.id not in before]
    due = [(one.record.name, one.record.model.tags["dvc.outputs"], one.shown) for one in seen.matches]
    if seen.report:
        due.append((report_run.STAGE, seen.report.tags["dvc.outputs"], seen.report_shown))
    return {name: (shown or mirror.showing(since, outputs)[0]).id for name, outputs, shown in due}

"""What a snapshot of the repository holds against what MLflow shows: every disagreement, told."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from stages.core.mirror import current as mirror
from stages.core.mirror import registry, report_run, sweep_mirror, sweep_record
from stages.core.mirror.current import Match, Shown
from stages.core.mirror.disagreements import Disagreement
from stages.core.mirror.report_run import Report
from stages.core.mirror.reported import contradictions
from stages.core.mirror.snapshot import Snapshot, Unusable
from stages.core.mirror.store import Store


class View(NamedTuple):
    """A snapshot held against a tracking store.

    `report_faults` is what is wrong with the report's run where `report_shown` is None and there is
    one; `unusable` has the reason for each model left out.
    """

    everything: list[Shown]
    matches: list[Match]
    report: Report | None
    report_shown: Shown | None
    report_faults: list[str]
    unusable: dict[str, str]


def view(store: Store, snapshot: Snapshot) -> View:
    """Find the runs that show what the snapshot holds."""
    everything, unusable = mirror.finished(store), {}
    records = [usable(partial(snapshot.record, name), name, unusable) for name in snapshot.trained()]
    matches = [mirror.match(store, record, everything) for record in records if record]
    report = usable(snapshot.report, report_run.STAGE, unusable)
    shown = mirror.showing(everything, report.tags["dvc.outputs"]) if report else []
    whole, faults = None, []
    for one in shown:
        wrong = report_run.faults(store, one.id, report)
        if not wrong:
            whole = one
            break
        faults = faults or wrong
    return View(everything, matches, report, whole, faults, unusable)


def usable(read: Callable, name: str, unusable: dict[str, str]) -> Any:
    """What `read` gives; None, and the reason in `unusable` by `name`, if the files do not allow it."""
    try:
        return read()
    except Unusable as error:
        unusable[name] = str(error)
    except (OSError, ValueError, KeyError) as error:
        unusable[name] = f"{name}: its files are not as its stage writes them: {error!r}"
    return None


def check(store: Store, snapshot: Snapshot, working: bool) -> list[Disagreement]:
    """Every disagreement between dvc.lock, the files and MLflow; nothing is changed.

    `working`: the snapshot is the working tree, by which states go and the champion is chosen.
    """
    seen = view(store, snapshot)
    found = [Disagreement(name, reason, "") for name, reason in seen.unusable.items()]
    found += [wrong for match in seen.matches for wrong in match.disagreements]
    if seen.report and not seen.report_shown:
        wrong = ", ".join(seen.report_faults) or "no finished run"
        found.append(Disagreement(f"{report_run.STAGE}: artifacts", "written", wrong))
    found += _of_the_sweep(store, snapshot, working)
    found += contradictions(snapshot.root, [match.record for match in seen.matches])
    return found + list(_wrong_states(store, seen) if working else [])


def _of_the_sweep(store: Store, snapshot: Snapshot, working: bool) -> list[Disagreement]:
    unusable: dict[str, str] = {}
    wanted = usable(snapshot.sweep, sweep_record.STAGE, unusable) or {}
    found = [Disagreement(name, reason, "") for name, reason in unusable.items()]
    return found + list(sweep_mirror.check(store, wanted, working) if wanted else [])


def _wrong_states(store: Store, seen: View) -> Iterator[Disagreement]:
    for match in seen.matches:
        for run, key, value in mirror.tags_due(match) if match.shown else []:
            held = run.data.tags.get(key, "none")
            yield Disagreement(f"{run.info.run_name}: tag {key}", value, held)
    for run, state in mirror.states_due(judged(seen.everything, seen), _current(seen)):
        subject = f"{run.info.run_name} ({run.info.run_id[:8]}): state"
        yield Disagreement(subject, state, run.data.tags.get("state", "none"))
    for run in mirror.dead(store):
        yield Disagreement(run.info.run_name, "its process has died", "running")
    best = registry.best([match.record for match in seen.matches])
    champion = registry.champion(store)
    if not seen.unusable and not registry.agrees(store, champion, best):
        due, held = (_named(tags) for tags in (best and best.model.tags, champion and champion.tags))
        yield Disagreement(f"{registry.NAME}: {registry.ALIAS}", due, held)


def _named(tags: Mapping[str, str] | None) -> str:
    """A model by its name and its bytes: the same model may have been trained with other settings."""
    return f"{tags.get('model')} ({tags.get('dvc.md5', '')[:8]})" if tags else "none"


def judged(everything: list[Shown], seen: View) -> list[Shown]:
    """The runs whose state can be told: not those of a model whose files are missing."""
    kinds = ((shown, shown.tags.get("model", report_run.STAGE)) for shown in everything)
    return [shown for shown, kind in kinds if kind not in seen.unusable]


def _current(seen: View) -> set[str]:
    shown = [*(match.shown for match in seen.matches), seen.report_shown]
    return {one.id for one in shown if one}

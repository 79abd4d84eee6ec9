"""Which of MLflow's runs stand for what dvc.lock holds, and what is to be done where none does.

The tag `state` of a run, a model's and its seeds' alike, is
- `current`: it finished, and shows the very files that dvc.lock holds; one for every trained model;
- `experiment`: it belongs to a DVC experiment (tag `dvc.experiment`) that is not applied;
- `superseded`: it finished, but dvc.lock holds another training of the model now, or none;
- `running`, and `interrupted` where it did not come to its end.

A training is told from all others by the tag `dvc.outputs`, an md5 over the model's name, settings
and files (`record.outputs`), the file of its seconds among them: a model that is trained again with
the same bits is another training, and its run takes the place of the one before. If two runs show
the same training, the one that is current stays so, else the newer one becomes it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from stages.core import process
from stages.core.mirror import disagreements, runs
from stages.core.mirror.disagreements import Disagreement
from stages.core.mirror.record import ModelRecord
from stages.core.mirror.store import Store


class Shown(NamedTuple):
    """A model's run in MLflow with its seeds' runs (mlflow.entities.Run), or the report's run, with none."""

    run: Any
    seeds: dict[int, Any]

    @property
    def tags(self) -> dict[str, str]:
        return self.run.data.tags

    @property
    def id(self) -> str:
        return self.run.info.run_id


class Match(NamedTuple):
    """The run that shows a record best, if any does, and where it does not agree with it."""

    record: ModelRecord
    shown: Shown | None
    disagreements: list[Disagreement]


def search(store: Store, condition: str = "") -> list:
    """All runs of the experiment for which MLflow's filter `condition` holds, the newest first."""
    found, token = [], None
    while True:
        page = store.client.search_runs([store.experiment], condition, page_token=token)
        found, token = [*found, *page], page.token
        if not token:
            return found


def finished(store: Store) -> list[Shown]:
    """All finished runs of models and reports, the newest first, each with the runs nested in it."""
    everything = [run for run in search(store) if "state" in run.data.tags]  # others are not this project's
    nested: dict[str, dict[int, Any]] = defaultdict(dict)
    for run in reversed(everything):
        if parent := run.data.tags.get("mlflow.parentRunId"):
            nested[parent][int(run.data.tags["seed"])] = run
    return [
        Shown(run, nested[run.info.run_id])
        for run in everything
        if run.info.status == "FINISHED" and "mlflow.parentRunId" not in run.data.tags
    ]


def showing(everything: Iterable[Shown], outputs: str) -> list[Shown]:
    """Those that show the training or report with the tag `outputs`, the best first."""
    found = [shown for shown in everything if shown.tags.get("dvc.outputs") == outputs]
    return sorted(found, key=lambda shown: shown.tags.get("state") != "current")


def match(store: Store, record: ModelRecord, everything: Iterable[Shown]) -> Match:
    """Find the run that shows `record`."""
    found = None
    for shown in showing(everything, record.model.tags["dvc.outputs"]):
        wrong = disagreements.of_model(store, record, shown.run, shown.seeds)
        if not wrong:
            return Match(record, shown, [])
        found = found or wrong
    return Match(record, None, found or [Disagreement(record.name, "trained", "no finished run")])


def tags_due(match: Match) -> Iterator[tuple[Any, str, str]]:
    """The tags of the match's runs that may change without a training, and have: run, tag, value."""
    record, (run, seeds) = match.record, match.shown
    for due, held in [(record.model, run), *((record.seeds[seed], seeds[seed]) for seed in record.seeds)]:
        for key, value in due.tags.items():
            if key != "mlflow.note.content" and held.data.tags.get(key) != value:
                yield held, key, value


def states_due(everything: Iterable[Shown], current: set[str]) -> Iterator[tuple[Any, str]]:
    """The runs whose `state` is not what it should be if `current` are the ids of the current ones."""
    for shown in everything:
        state = "current" if shown.id in current else otherwise(shown.tags)
        for run in (shown.run, *shown.seeds.values()):
            if run.data.tags.get("state") != state:
                yield run, state


def otherwise(tags: Mapping[str, str]) -> str:
    """The `state` of a finished run with these tags that is not current."""
    return "experiment" if "dvc.experiment" in tags else "superseded"


def dead(store: Store) -> list:
    """The runs still running in MLflow that no process will end: it has died on this host, or has ended them.

    Runs that are none of this project's, without the tag `state`, are left alone.
    """
    running = [run for run in search(store, "attributes.status = 'RUNNING'") if "state" in run.data.tags]
    claims = [(run, run.data.tags.get("process")) for run in running]
    return [run for run, claim in claims if claim is None or process.has_ended(claim)]


def reap(store: Store) -> list[str]:
    """End the runs that `dead` finds as KILLED; their names. No run nested in one of them stays current."""
    found = dead(store)
    for run in found:
        runs.finish(store, run.info.run_id, "KILLED", "interrupted", runs.now())
        for nested in search(store, f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"):
            store.client.set_tag(nested.info.run_id, "state", "interrupted")
    return [run.info.run_name for run in found]


def supersede(store: Store, kind: str, keep: str) -> None:
    """Let `keep` be the only current one of the runs for which MLflow's filter `kind` holds."""
    of_kind = {run.info.run_id for run in search(store, kind)}
    everything = [shown for shown in finished(store) if shown.id in of_kind and _claims(shown)]
    for run, state in states_due(everything, {keep}):
        store.client.set_tag(run.info.run_id, "state", state)


def _claims(shown: Shown) -> bool:
    """Whether a model's run or one of its seeds' calls itself current."""
    return any(run.data.tags.get("state") == "current" for run in (shown.run, *shown.seeds.values()))

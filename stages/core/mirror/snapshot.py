"""The trained models as the working tree or another commit holds them, with the files they consist of."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from stages.core.mirror import lockfile, provenance, record, report_run, sweep_record
from stages.core.mirror.record import RunRecord
from stages.core.mirror.store import repository
from stages.core.params import Study

ARRAYS = "data/arrays"
LABELS = f"{ARRAYS}/test_labels.npy"


class Unusable(ValueError):
    """A commit or its files cannot be mirrored; one line that says why."""


class Snapshot(NamedTuple):
    """What dvc.lock and params.yaml say, and the folder under which their files lie.

    Of params.yaml only names are read: what a model was trained with is in dvc.lock, and an older
    commit may have sections that today's do not.
    """

    root: Path
    stages: dict[str, lockfile.Stage]
    models: list[str]
    studies: dict[str, Study]
    origin: dict[str, str]

    def trained(self) -> dict[str, lockfile.Stage]:
        """The stages that trained a model which params.yaml still names: dvc.lock forgets none."""
        stages = lockfile.trained(self.stages)
        return {name: stages[name] for name in self.models if name in stages}

    def record(self, name: str) -> record.ModelRecord:
        """What MLflow is to show of `name`. Raises Unusable if its files are not those of dvc.lock."""
        stage = self.trained()[name]
        paths = [path for path in lockfile.changed(stage, self.root) if not path.startswith(ARRAYS)]
        if paths:
            raise Unusable(
                f"{paths[0]}: is not what dvc.lock has; `python -m stages.check` tells how to mend it, "
                "and `dvc pull` brings it to a new clone"
            )
        studies = [study for study, held in self.studies.items() if name in held.models]
        return record.read(self.root, name, lockfile.settings(name, stage), studies, stage.deps[ARRAYS])

    def labels(self) -> np.ndarray:
        """The labels of the test images. Raises Unusable if they are not there."""
        try:
            return np.load(self.root / LABELS, allow_pickle=False)
        except FileNotFoundError:
            raise Unusable(f"{LABELS}: is not there; `dvc pull` brings it back") from None

    def report(self) -> report_run.Report | None:
        """What MLflow is to show of the report; None before there is one. Raises Unusable as `record`."""
        if report_run.STAGE not in self.stages:
            return None
        if paths := lockfile.changed(self.stages[report_run.STAGE], self.root):
            raise Unusable(f"{paths[0]}: is not what dvc.lock has; `dvc repro` writes it anew")
        return report_run.read(self.root, self.studies)

    def sweep(self) -> dict[str, RunRecord]:
        """What MLflow is to show of the map, a record for each run, by its name; empty before there is one.

        Raises Unusable as `record`.
        """
        if sweep_record.STAGE not in self.stages:
            return {}
        if paths := lockfile.changed(self.stages[sweep_record.STAGE], self.root):
            raise Unusable(
                f"{paths[0]}: is not what dvc.lock has; `dvc pull` or `dvc repro sweep` brings it back"
            )
        return sweep_record.read(self.root)

    def origin_of(self, stage: str) -> dict[str, str]:
        """The tags of a run that is replayed from here."""
        return {**self.origin, "dvc.stage": stage}


def working_tree() -> Snapshot:
    """What the user's working tree holds. Raises Unusable if nothing was trained there yet."""
    root = repository()
    return _snapshot(root, provenance.commit(root))


@contextmanager
def revision(name: str) -> Iterator[Snapshot]:
    """What the commit, branch, tag or DVC experiment `name` holds, fetched from DVC's cache or remote.

    Raises Unusable for a name that is unknown, and for files that neither cache nor remote has.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import RevError

    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        try:
            files = DVCFileSystem(str(repository()), rev=name)
            _fetch(files, root)
            origin = provenance.of_revision(repository(), files.repo.get_rev())
        except (RevError, FileNotFoundError, DvcException) as error:
            raise Unusable(f"{name}: {' '.join(str(error).split())}") from None
        yield _snapshot(root, origin)


def _snapshot(root: Path, origin: dict[str, str]) -> Snapshot:
    """What lies under `root`. Raises Unusable for a dvc.lock or params.yaml that says nothing."""
    stages = _stages(root)
    try:
        params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        studies = {name: Study.model_validate(study) for name, study in params["studies"].items()}
        return Snapshot(root, stages, list(params["models"]), studies, origin)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise Unusable(f"params.yaml: names no models and studies: {' '.join(str(error).split())}") from None


def _stages(root: Path) -> dict[str, lockfile.Stage]:
    try:
        return lockfile.read(root)
    except FileNotFoundError:
        raise Unusable(f"{root / 'dvc.lock'}: is not there; `dvc repro` makes it") from None
    except lockfile.Torn as error:
        raise Unusable(str(error)) from None


def _fetch(files: Any, root: Path) -> None:
    for name in ("dvc.lock", "params.yaml"):
        files.get(name, str(root / name))
    stages = _stages(root)
    mirrored = (lockfile.TRAIN, report_run.STAGE, sweep_record.STAGE)
    wanted = [stage for name, stage in stages.items() if name.startswith(mirrored)]
    for path in (LABELS, *(path for stage in wanted for path in stage.outs)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        files.get(path, str(root / path), recursive=files.isdir(path))

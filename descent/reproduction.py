"""Run the pipeline again in a fresh clone and compare every output with the committed one."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from descent import paths
from descent.integrity import LOCK
from descent.results import processor, versions

RECORD = paths.REPORTS / "reproduction.md"

ACCURACY_TOLERANCE = 0.01
LOSS_TOLERANCE = 0.1  # relative
"""The distances that a mean in comparison.csv may have from the committed one on another kind of processor,
whose other last bits grow over the epochs."""


class Outputs(NamedTuple):
    """The outputs of a repository: each one's digest by its path, and the comparison."""

    digests: dict[str, str]
    comparison: pd.DataFrame


class Verdict(NamedTuple):
    """The result of a comparison of outputs.

    Attributes:
        outputs: A row per output: its path, and `identical`, `differs`, `missing` or `new`.
        means_agree: Whether all statuses are equal, and within the tolerances all means of models that did
            not diverge.
    """

    outputs: pd.DataFrame
    means_agree: bool

    @property
    def identical(self) -> bool:
        """True if every output has the same bytes."""
        return set(self.outputs["second run"]) <= {"identical"}

    @property
    def reproduced(self) -> bool:
        """True if every output has the same bytes, or all exist and the means agree."""
        incomplete = set(self.outputs["second run"]) & {"missing", "new"}
        return self.identical or (self.means_agree and not incomplete)


def verify() -> tuple[Verdict, str]:
    """Run all stages in a fresh clone of the last commit; return the verdict and a report in Markdown.

    Raises:
        SystemExit: There are uncommitted changes, or a stage failed.
    """
    if changed := _git("status", "--porcelain", "--untracked-files=no", "."):
        sys.exit(f"there are uncommitted changes, so there is no commit to verify:\n{changed}")
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        _git("clone", "--quiet", _git("rev-parse", "--show-toplevel"), folder)
        clone = Path(folder, _git("rev-parse", "--show-prefix"))  # where this is a folder of the repository
        committed = read_outputs(clone)
        _run_again(clone)
        verdict = compare_outputs(committed, read_outputs(clone))
    return verdict, as_markdown(verdict, _git("rev-parse", "--short", "HEAD"), processor(), versions())


def _run_again(clone: Path) -> None:
    """Run every stage in `clone`, with the raw files of this folder if there are any."""
    raw = paths.RAW.resolve()
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the stages' python, too
    environment = os.environ | {"PATH": programs, "MLFLOW_TRACKING_URI": f"sqlite:///{clone}/mlflow.db"}
    if raw.exists():
        shutil.copytree(raw, clone / paths.RAW)  # the stage verifies what is there and fetches the rest
    done = subprocess.run([sys.executable, "-m", "dvc", "repro", "--force"], cwd=clone, env=environment)
    if done.returncode:
        sys.exit(f"dvc repro exited with {done.returncode} in a fresh clone")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.rstrip()


def other_bytes() -> str:
    """Name, in a line, the stages whose outputs differ from the last commit's from the same inputs.

    Empty where there are none, or nothing to compare. Later stages, which follow from them, are not named.
    """
    done = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, text=True)
    if done.returncode or not LOCK.exists():
        return ""
    try:
        before, now = (yaml.safe_load(text)["stages"] for text in (done.stdout, LOCK.read_text("utf-8")))
    except (yaml.YAMLError, KeyError, TypeError):  # `descent check` describes the damage
        return ""
    differing = [
        name
        for name, stage in now.items()
        if name in before and stage | {"outs": ()} == before[name] | {"outs": ()} and stage != before[name]
    ]
    if not differing:
        return ""
    return (
        f"{', '.join(differing)}: other bytes than in the last commit, from the same inputs: another kind of "
        "processor rounds otherwise (docs/reproducibility.md); `dvc diff` lists the files"
    )


def read_outputs(root: Path) -> Outputs:
    """Read the digests in a repository's dvc.lock, which are of all outputs, and the comparison."""
    lock = yaml.safe_load((root / LOCK).read_text(encoding="utf-8"))
    outs = [out for stage in lock["stages"].values() for out in stage.get("outs", [])]
    comparison = pd.read_csv(root / paths.COMPARISON)
    return Outputs({out["path"]: out["md5"] for out in outs}, comparison)


def compare_outputs(committed: Outputs, again: Outputs) -> Verdict:
    """Compare the outputs of two runs."""
    names = list(committed.digests | again.digests)
    words = [_word(committed.digests.get(name), again.digests.get(name)) for name in names]
    table = pd.DataFrame({"output": names, "second run": words})
    return Verdict(table, _means_agree(committed.comparison, again.comparison))


def _word(committed: str | None, again: str | None) -> str:
    if committed is None or again is None:
        return "missing" if again is None else "new"
    return "identical" if committed == again else "differs"


def _means_agree(committed: pd.DataFrame, again: pd.DataFrame) -> bool:
    """Compare statuses, and the means of models that did not diverge.

    A diverged run amplifies every last bit, so that its numbers are those of the processor.
    """
    keys = ["study", "model", "status"]
    if not committed[keys].equals(again[keys]):
        return False
    rows = committed.status != "diverged"
    accuracies, losses = (
        [column for column in committed.columns if column.endswith(f"{kind}_mean")]
        for kind in ("accuracy", "loss")
    )
    return all(
        np.allclose(again.loc[rows, columns], committed.loc[rows, columns], equal_nan=True, **tolerance)
        for columns, tolerance in (
            (accuracies, {"atol": ACCURACY_TOLERANCE, "rtol": 0}),
            (losses, {"atol": 0, "rtol": LOSS_TOLERANCE}),
        )
    )


def as_markdown(verdict: Verdict, commit: str, machine: str, libraries: Mapping[str, str]) -> str:
    """Render a verdict: one sentence, the machine, then every output."""
    counts = verdict.outputs["second run"].value_counts()
    if verdict.identical:
        sentence = "Reproduced to the byte"
    elif verdict.reproduced:
        sentence = (
            "Not the same bytes. Another kind of processor has other last bits: the means agree within "
            f"{ACCURACY_TOLERANCE:.0%} (accuracies) and {LOSS_TOLERANCE:.0%} (losses)"
        )
    else:
        sentence = "NOT reproduced"
    counted = ", ".join(f"{count} {word}" for word, count in counts.items())
    listed = ", ".join(f"{name} {version}" for name, version in libraries.items())
    rows = "".join(f"| {output} | {word} |\n" for output, word in verdict.outputs.itertuples(index=False))
    return (
        "# The pipeline run again in a fresh clone\n\n"
        f"{sentence}: {counted}.\n\n"
        f"Commit {commit}, on {machine}, with {listed}.\n\n"
        f"| output | second run |\n|---|---|\n{rows}"
    )

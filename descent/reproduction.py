"""Run the pipeline again in a fresh clone and compare every output with the committed one."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from descent import paths
from descent.integrity import LOCK
from descent.timings import processor, versions

ACCURACY_TOLERANCE = 0.01
LOSS_TOLERANCE = 0.1  # relative
"""The distances that a mean in comparison.csv may have from the committed one on another kind of processor,
whose other last bits grow over the epochs."""


class Outputs(NamedTuple):
    """The outputs of a repository: the digest of each path, and the comparison."""

    digests: dict[str, str]
    comparison: pd.DataFrame


class Verdict(NamedTuple):
    """The comparison of the outputs of two runs."""

    compared: int
    others: dict[str, str]  # what is not identical: `differs`, `missing` or `new` by its path
    means_agree: bool  # all statuses are equal, and means of models that did not diverge within tolerances

    @property
    def reproduced(self) -> bool:
        """True if every output has the same bytes, or all exist and the means agree."""
        return not self.others or (self.means_agree and set(self.others.values()) == {"differs"})


def verify() -> tuple[Verdict, str]:
    """Run all stages in a fresh clone of the last commit; return the verdict and a report."""
    if changed := _git("status", "--porcelain", "--untracked-files=no", "."):
        sys.exit(f"there are uncommitted changes, so there is no commit to verify:\n{changed}")
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        _git("clone", "--quiet", _git("rev-parse", "--show-toplevel"), folder)
        clone = Path(folder, _git("rev-parse", "--show-prefix"))  # where this is a folder of the repository
        committed = read_outputs(clone)
        _run_again(clone)
        verdict = compare_outputs(committed, read_outputs(clone))
    return verdict, report(verdict, _git("rev-parse", "--short", "HEAD"))


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
    before, after = committed.digests, again.digests
    words = {path: "new" for path in after} | {path: "missing" for path in before}
    words |= {path: "differs" for path in before.keys() & after.keys()}
    others = {path: word for path, word in words.items() if before.get(path) != after.get(path)}
    return Verdict(len(words), others, _means_agree(committed.comparison, again.comparison))


def _means_agree(committed: pd.DataFrame, again: pd.DataFrame) -> bool:
    """Compare statuses, and the means of models that did not diverge.

    A diverged run amplifies every last bit, so that its numbers are those of the processor.
    """
    keys = ["study", "model", "status"]
    if not committed[keys].equals(again[keys]):
        return False
    ours, theirs = (table[committed.status != "diverged"] for table in (committed, again))
    accuracies = [name for name in ours if name.endswith("accuracy_mean")]
    losses = [name for name in ours if name.endswith("loss_mean")]
    return np.allclose(
        theirs[accuracies], ours[accuracies], rtol=0, atol=ACCURACY_TOLERANCE, equal_nan=True
    ) and np.allclose(theirs[losses], ours[losses], rtol=LOSS_TOLERANCE, atol=0, equal_nan=True)


def report(verdict: Verdict, commit: str) -> str:
    """Write a sentence, this machine, and a line for each output that is not identical."""
    if not verdict.others:
        sentence = "Reproduced to the byte"
    elif verdict.reproduced:
        sentence = (
            "Not the same bytes. Another kind of processor has other last bits: the means agree within "
            f"{ACCURACY_TOLERANCE:.0%} (accuracies) and {LOSS_TOLERANCE:.0%} (losses)"
        )
    else:
        sentence = "NOT reproduced"
    identical = verdict.compared - len(verdict.others)
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
    return "\n".join(
        [
            f"{sentence}: {identical} of {verdict.compared} outputs are identical.",
            f"Commit {commit}, on {processor()}, with {libraries}.",
            *(f"{path}: {word}" for path, word in verdict.others.items()),
        ]
    )

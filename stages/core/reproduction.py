"""Whether a second run gave the same: each hash in dvc.lock and each file in reports/, told apart by why."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from stages.core.files import sha256

CLOCKS = (r"(models|data)/[^/]+/timing\.json", r"reports/timing[^/]*")
"""The outputs in which a clock shows."""

TOLERANCES = {"accuracy": 0.01, "loss": 0.1}
"""How far a mean of comparison.csv may lie from the committed one on another kind of processor, whose other
last bits 20 epochs carry on: an accuracy in points of a share, a loss as a share of itself."""


class Outputs(NamedTuple):
    """What a repository holds: each output's hash by its path, the comparison, and who computed it."""

    hashes: dict[str, str]
    comparison: pd.DataFrame
    processors: set[str]


class Verdict(NamedTuple):
    """`outputs` has a row per output: its path, and what the second run gave.

    `reproduced` is whether all is `identical` but clocks, or, on another kind of processor, whether
    the same outputs are there and all means are `within` TOLERANCES.
    """

    outputs: pd.DataFrame
    same_processor: bool
    within: bool
    reproduced: bool


def outputs(root: Path) -> Outputs:
    """The outputs of a repository whose pipeline has run: those in dvc.lock, and the files of reports/."""
    lock = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))
    outs = [out for stage in lock["stages"].values() for out in stage.get("outs", [])]
    hashes = {out["path"]: out["md5"] for out in outs if not out["path"].startswith("reports/")}
    for path in sorted((root / "reports").rglob("*")):
        if path.is_file() and path.name not in NOT_OF_THE_PIPELINE:
            hashes[str(path.relative_to(root))] = sha256(path)
    timing = pd.read_csv(root / "reports" / "timing.csv")
    return Outputs(hashes, pd.read_csv(root / "reports" / "comparison.csv"), set(timing.processor))


NOT_OF_THE_PIPELINE = ("benchmark.csv", "scheduling.csv", "stage.csv", "reproduction.md")
"""What lies in reports/ and is made by other commands than `dvc repro`."""


def verdict(committed: Outputs, again: Outputs) -> Verdict:
    """What came of the second run."""
    paths = list(committed.hashes | again.hashes)
    words = [_word(path, committed.hashes.get(path), again.hashes.get(path)) for path in paths]
    same_processor = committed.processors == again.processors
    within = _within(committed.comparison, again.comparison)
    as_it_should = {"identical", "clock"} if same_processor else {"identical", "clock", "differs"}
    reproduced = set(words) <= as_it_should and (same_processor or within)
    table = pd.DataFrame({"output": paths, "second run": words})
    return Verdict(table, same_processor, within, reproduced)


def _word(path: str, committed: str | None, again: str | None) -> str:
    if committed is None or again is None:
        return "missing" if again is None else "new"
    if committed == again:
        return "identical"
    return "clock" if any(re.fullmatch(clock, path) for clock in CLOCKS) else "differs"


def _within(committed: pd.DataFrame, again: pd.DataFrame) -> bool:
    keys = ["study", "model", "status"]
    if not committed[keys].equals(again[keys]):
        return False
    off = [
        (again[column] - committed[column]).abs() > TOLERANCES["accuracy"]
        if column.endswith("accuracy_mean")
        else (again[column] / committed[column] - 1).abs() > TOLERANCES["loss"]
        for column in committed.columns
        if column.endswith(("accuracy_mean", "loss_mean"))
    ]
    return not pd.concat(off).any()


def as_markdown(verdict: Verdict, commit: str, processor: str, versions: Mapping[str, str]) -> str:
    """The verdict as Markdown: one sentence, the machine, a count, then every output."""
    counts = verdict.outputs["second run"].value_counts()
    sentence = "Reproduced" if verdict.reproduced else "NOT reproduced"
    if not verdict.same_processor:
        lie = "lie" if verdict.within else "do not all lie"
        sentence += (
            f", on another kind of processor, which has other last bits: the means {lie} as near to those "
            f"committed as {TOLERANCES['accuracy']:.0%} (accuracies) and {TOLERANCES['loss']:.0%} (losses)"
        )
    rows = [f"| {row.output} | {row[2]} |" for row in verdict.outputs.itertuples()]
    lines = [
        "# The pipeline run again, from the raw files, in a fresh clone",
        "",
        f"{sentence}: " + ", ".join(f"{count} {word}" for word, count in counts.items()) + ".",
        "",
        f"Commit {commit}, on {processor}, with "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ".",
        "",
        "| output | second run |",
        "|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"

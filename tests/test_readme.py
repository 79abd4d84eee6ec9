"""README and docs say nothing that the committed results and measurements contradict."""

from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """The cells of every table row that tells of a model."""
    lines = [line for line in text.splitlines() if line.startswith(("| `", "| **`"))]
    return [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]


def test_every_number_in_its_tables_is_one_of_the_reports():
    report = ROOT / "reports" / "report.md"
    if not report.exists():
        pytest.skip("no run of the pipeline is committed here")
    reported = {row[0]: row for row in rows(report.read_text(encoding="utf-8"))}
    shown = [row for row in rows(README) if row[0] in reported]
    assert len(shown) == 6
    for row in shown:
        assert set(row) <= set(reported[row[0]])


@pytest.mark.parametrize("target", sorted(set(Path(part.split(")")[0]) for part in README.split("](")[1:])))
def test_what_it_links_to_exists(target):
    assert (ROOT / target).exists()


def test_make_run_looks_for_faults_then_reproduces_then_syncs_then_shows_the_tables():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\nrun:")[2].partition("\n\n")[0]
    steps = [
        recipe.index(step)
        for step in ("stages.ready", "dvc repro", "stages.sync", "stages.show", "exit $$code")
    ]
    assert steps == sorted(steps)


def section(heading: str) -> str:
    """The README from a heading to the next one."""
    return README.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_the_benchmark_it_shows_is_the_one_that_was_recorded():
    table, shown = pd.read_csv(ROOT / "reports/benchmark.csv"), section("How fast it is")
    for engine, times in table.groupby("engine", sort=False):
        cells = [f"{row.seconds_per_epoch:.2f} s, {row.times_keras_fit:.1f} ×" for row in times.itertuples()]
        assert f"| {engine} | {' | '.join(cells)} |" in shown
    own = table[table.engine == "descent"].share_of_peak
    assert "to {:.0f}, {:.0f} and {:.0f} % here".format(*(100 * own)) in " ".join(shown.split())


def test_what_a_stage_costs_is_what_was_recorded():
    stage = pd.read_csv(ROOT / "reports/stage.csv").set_index("way")
    logged, plain = stage.loc["logged"], stage.loc["not logged"]
    shown = " ".join(section("How fast it is").split())
    assert f"takes {logged.seconds_outside_training:.1f} s beside its training" in shown
    assert f"{logged.peak_memory_mb * 2**20 / 1e9:.1f} GB of memory" in shown
    assert f"costs {logged.seconds - plain.seconds:.1f} s of {logged.seconds:.0f}" in shown


def test_what_the_page_on_clusters_says_of_speed_is_what_was_recorded():
    page = " ".join((ROOT / "docs/cluster.md").read_text(encoding="utf-8").split())
    table = pd.read_csv(ROOT / "reports/scheduling.csv").set_index("measured")
    of_two = table.dropna().groupby(level=0).times_one_worker.max().map("{:.2f}".format)
    assert table.dropna().query("workers == '2 processes'").times_one_worker.min() >= 1.8
    shortest = table.loc["throughput, 3 epochs"].milliseconds_per_run.min()
    assert table.loc["overhead"].query("runs >= 100").milliseconds_per_run.max() < 0.05 * shortest
    for measured in ("throughput, 20 epochs", "throughput, 3 epochs", "waiting"):
        assert f"{of_two[measured]} times" in page

"""The README says nothing that the committed results contradict."""

from pathlib import Path

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

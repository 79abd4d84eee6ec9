"""docs/faults.md promises nothing that no test proves."""

import re

import pytest
from small_params import PROJECT

PAGE = (PROJECT / "docs/faults.md").read_text()
NAMED = re.findall(r"`(test_\w+)(?:\[(.+?)\])?`", PAGE)
TESTS = "\n".join(path.read_text() for path in sorted((PROJECT / "tests").glob("test_*.py")))


def test_the_figures_at_its_head_are_those_of_its_rows():
    tried, survived = map(int, re.search(r"Tried: (\d+) faults; survived: (\d+)", PAGE).groups())
    table, _, others = PAGE.partition("## Not survived yet")
    rows = re.findall(r"^\| (?!fault \|)", table, re.MULTILINE)
    assert survived == len(rows)
    assert tried == len(rows) + len(re.findall(r"^- ", others, re.MULTILINE))


def test_every_row_names_a_test():
    rows = re.findall(r"^\| (?!fault \|).*", PAGE, re.MULTILINE)
    assert [row for row in rows if "`test_" not in row] == []


@pytest.mark.parametrize("name, case", sorted(set(NAMED)))
def test_a_test_named_in_the_table_of_faults_exists(name, case):
    assert f"def {name}(" in TESTS
    assert not case or f'"{case}"' in TESTS

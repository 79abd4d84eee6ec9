"""Any edit of params.yaml that cannot work gets clear lines, and nothing is written."""

import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from descent.validation import load_yaml
from stages import download
from tests.support.small_params import ROOT, dumped, error_lines, parent, places, value_errors

TEXT = (ROOT / "params.yaml").read_text()
LIST = "[x, x, x, x, x, x, x, x, x]"
ALIASES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


def is_clear(line: str) -> bool:
    """Return whether a line can be printed and read, and says what is wrong or what is accepted."""
    kinds = ("; accepted: ", "is not YAML: ", ": the key ", "cannot be read")
    return line.isprintable() and len(line) < 700 and any(kind in line for kind in kinds)


# Edits of the text

EDITS = {
    # what is replaced, by what, what the line begins with
    "tab": ("  batch_8:", "\tbatch_8:", "line 38: is not YAML: found character '\\t'"),
    "control character": ("data: mnist", "data: mnist\x1b[31m", "is not YAML: unacceptable character #x001b"),
    "escape in a value": ("data: mnist", r'data: "\e[31m"', r"data: '\x1b[31m' is not accepted"),
    "escape in a key": ("seed: 0 ", '"\\e[31m": 1\n  seed: 0 ', r"preprocess.\x1b[31m: is not a known key"),
    "escape in a name": ("  batch_8:", r'  "\e[31m":', r"models: '\x1b[31m' is not accepted"),
    "half a character": ("data: mnist", r'"\ud800": 1', "line 11: the key has half of a surrogate pair"),
    "no such character": ("data: mnist", r'data: "\U00110000"', "is not YAML: "),
    "no such escape": ("data: mnist", r'data: "\q"', "line 11: is not YAML: found unknown escape"),
    "two documents": ("data: mnist", "data: mnist\n---\n", "line 12: is not YAML: but found another document"),
    "alias of nothing": ("epochs: 20", "epochs: *x", "line 35: is not YAML: found undefined alias 'x'"),
    "merge of a number": ("  rate_100:\n", "  rate_100:\n    <<: 3\n", "line 48: is not YAML: expected a map"),
    "copied by alias": (
        "  batch_full:\n    batch_size: full        # all training images in one step: 20 epochs are 20 updates\n"
        "    learning_rate: 0.01\n  rate_100:\n    batch_size: 128\n    learning_rate: 100\n",
        "  batch_full: &x\n    batch_size: full\n    learning_rate: 0.01\n  rate_100: *x\n",
        "",  # these two are in no study together: fine
    ),
    "tag of Python": ("epochs: 20", "epochs: !!python/object/apply:os.system [id]", "line 35: is not YAML: "),
    "unknown tag": ("epochs: 20", "epochs: !days 20", "line 35: is not YAML: could not determine"),
    "text by tag": ("epochs: 20", "epochs: !!str 20", "train.epochs: '20' is not accepted"),
    "no boolean": ("epochs: 20", "epochs: !!bool x", "line 35: 'x' cannot be read as a boolean"),
    "no number": ("epochs: 20", "epochs: !!int x", "line 35: 'x' cannot be read as a number"),
    "5000 digits": ("epochs: 20", f"epochs: {'9' * 5000}", "line 35: '9999"),
    "13th month": ("epochs: 20", "epochs: 2026-13-01", "line 35: '2026-13-01' cannot be read as a date"),
    "infinite by size": ("learning_rate: 100\n", "learning_rate: 1e999\n", "models.rate_100.learning_rate: inf"),
    "boolean": ("epochs: 20", "epochs: true", "train.epochs: True is not accepted"),
    "base 60": ("epochs: 20", "epochs: 1:30", "train.epochs: '1:30' is not accepted"),
    "empty": ("epochs: 20", "epochs:", "train.epochs: None is not accepted"),
    "a list as key": ("data: mnist", "data: mnist\n? [a]\n: 1", "line 12: the key is a list, not text"),
    "a long key": ("epochs: 20", f"? {'k' * 3000}\n  : 20", f"train.epochs: is missing|train.{'k' * 61}...: is"),
    "nested deeply": ("epochs: 20", f"epochs: {'[' * 600}{']' * 600}", "is not YAML: nested too deeply"),
    "nested by aliases": ("data: mnist", f"data: mnist\na0: &a0 {LIST}\n{ALIASES}", "a0: is not a known key"),
    "itself": ("\nmodels:\n", "\nmodels: &m\n  x: *m\n", "models.x.batch_size: is missing"),
    "a name of folders": ("  batch_8:", "  ../batch_8:", "models: '../batch_8' is not accepted"),
    "a name with a dot": ("  batch_8:", "  batch.8:", "models: 'batch.8' is not accepted"),
    "a name with a space": ("  batch_8:", "  batch 8:", "models: 'batch 8' is not accepted"),
    "a name but for case": ("  batch_8:", "  Baseline:", "models: 'baseline' is not accepted; accepted: another"),
    "a name of 65": ("  batch_8:", f"  {'k' * 65}:", "models: 'kkkk"),
    "more than fits": ("  - 128\n  - 64", "  - 65536\n  - 65536", "network.hidden_layers: [65536, 65536] is not"),
    "interpolation": ("data: mnist", "data: ${models}", "data: '${models}' is not accepted"),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_the_text_gets_its_line(tmp_path, edit):
    old, new, expected = EDITS[edit]
    assert TEXT.count(old) >= 1
    lines = error_lines(tmp_path / "params.yaml", TEXT.replace(old, new, 1))
    assert all(map(is_clear, lines)), lines
    assert all(any(line.startswith(start) for line in lines) for start in filter(None, expected.split("|")))
    assert lines or not expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_an_encoding_is_read_or_named(tmp_path, encoding, newline):
    text = TEXT.replace("Which batch size", "Wh\xefch batch size").replace("\n", newline)
    lines = error_lines(tmp_path / "params.yaml", text.encode(encoding))
    assert lines == [] or (len(lines) == 1 and lines[0].startswith("cannot be read: 'utf-8' codec"))
    assert bool(lines) == (encoding in ("utf-16", "latin-1"))


# Edits of the structure

SCALARS = [
    None, True, False, 0, -1, 1, 2**63, 10**400, 1e-320, 1e308, float("nan"), float("inf"), -float("inf"),
    "", " ", "x" * 5000, "a/b", ".", "..", "a b", "~", "yes", "1e-7", "010", "full", "sgd", "adam", "baseline",
    "BASELINE", "mnist", "key", "item", "\x1b[31mred", "\u202e", "a\nb", "a\tb", "${data}", "{x}", "%s",
]  # fmt: skip
VALUES = [*SCALARS, [], {}, [[]], [[8]], [None], [True], [1.5], ["full", "full"], {"a": 1}, {"batch_size": 8}]
OPERATIONS = ("delete", "rename", "copy", "swap", "replace", "list", "mapping", "append", "insert")


def mutate(raw: dict, data: st.DataObject) -> None:
    """Change one place of the parameters as an editor might, or as nobody would."""
    place, other = (data.draw(st.sampled_from(list(places(raw)))) for _ in range(2))
    section, last = parent(raw, place), place[-1]
    value, name = data.draw(st.sampled_from(VALUES).map(copy.deepcopy)), data.draw(st.sampled_from(SCALARS))
    operation = data.draw(st.sampled_from(OPERATIONS))
    before = copy.deepcopy(section[last])
    if operation == "delete":
        del section[last]
    elif operation == "swap":
        second = parent(raw, other)
        section[last], second[other[-1]] = copy.deepcopy(second[other[-1]]), before
    elif operation == "append" and isinstance(section, list):
        section.append(value)
    elif operation in ("rename", "copy", "insert") and isinstance(section, dict):
        section[name] = value if operation == "insert" else before
        if operation == "rename" and name != last:
            del section[last]
    else:
        section[last] = {"list": [before], "mapping": {name: before}}.get(operation, value)


SYNTAX = [
    *("'8'", "[]", "{}", "[a, a]", "{a: 1, a: 2}", "\n- x", "\na: b", "&a", "*a", "<<: *a", "? x", "!!int x"),
    *("2026-13-01", "\x1b[31m", '"\\e[31m"', "\u202e", "%", "#", ":", "|", ">", "\t"),
]


@pytest.mark.slow  # two seconds of drawn changes
@given(st.integers(0, len(TEXT)), st.integers(0, 40), st.text(max_size=20) | st.sampled_from(SYNTAX))
def test_any_damaged_text_is_accepted_or_named(tmp_path_factory, start, length, put):
    text = TEXT[:start] + put + TEXT[start + length :]
    lines = error_lines(tmp_path_factory.getbasetemp() / "damaged.yaml", text)
    assert all(map(is_clear, lines)) and len(set(lines)) == len(lines), lines


@pytest.mark.slow  # seven seconds of drawn changes
@given(st.data())
def test_a_change_of_the_structure_is_accepted_or_named(tmp_path_factory, data):
    raw = load_yaml(TEXT)
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(raw, data)
    lines = error_lines(tmp_path_factory.getbasetemp() / "structure.yaml", dumped(raw))
    assert all(map(is_clear, lines)), lines


@pytest.mark.parametrize("value", [{"nonsense": -1}, None, True, 1.5, "", [], [[]]], ids=repr)
def test_a_value_of_another_type_is_named_or_accepted_in_every_place(value):
    raw = load_yaml(TEXT)
    own = {"title": "Own", "source": "own", "sha256": 64 * "0", "classes": ["a", "b"], "test_images": 1}
    raw["datasets"] = {"own": own}
    raw["models"]["baseline"] |= dict.fromkeys(("momentum", "rho", "epsilon"))  # as if they were not there
    assert value_errors(raw) == []
    for place in list(places(raw)):
        section, before = parent(raw, place), parent(raw, place)[place[-1]]
        section[place[-1]] = value
        lines = value_errors(raw)
        section[place[-1]] = before
        name = re.escape(".".join(key for key in place if isinstance(key, str)))
        assert all(map(is_clear, lines)), (place, lines)
        if value == {"nonsense": -1}:
            assert any(re.match(rf"{name}\b.*nonsense", line) for line in lines), (place, lines)


# What is written


@pytest.mark.parametrize("edit", ["tab", "boolean", "a long key"])
def test_the_first_stage_prints_the_lines_and_writes_nothing(tmp_path, monkeypatch, capsys, edit):
    old, new, _ = EDITS[edit]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/raw").mkdir(parents=True)
    lines = error_lines(tmp_path / "params.yaml", TEXT.replace(old, new, 1))
    with pytest.raises(SystemExit) as caught:
        download.main()
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", "".join(f"params.yaml: {line}\n" for line in lines))
    assert {path.name for path in tmp_path.rglob("*")} == {"params.yaml", "data", "raw"}

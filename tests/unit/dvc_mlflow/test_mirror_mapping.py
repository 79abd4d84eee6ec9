"""The schema of meta.mlflow, the words of errors, addresses and process identities."""

import fcntl
import os
import sqlite3
import subprocess
import sys
import time
from functools import partial

import pytest

from dvc_mlflow import process, provenance
from dvc_mlflow.errors import Unusable, in_a_line, redacted
from dvc_mlflow.expected import ExpectedStage, canonical, parameters
from dvc_mlflow.live import LiveRun, live
from dvc_mlflow.mapping import Mapping, parse
from dvc_mlflow.repository import Stage
from dvc_mlflow.store import Store, described, make_database, sqlite_file, tracking_uri

ERRORS = {
    "{metric: a.json}": "meta.mlflow.metric: unknown key; accepted: experiment, description, metrics, curves",
    "{curves: {file: a.csv}}": "meta.mlflow.curves.0.step: is missing",
    "{curves: {file: a.csv, step: epoch, per: seed}}": "curves.0.per: unknown key; accepted: file, step, run_per",
    "{rows: {file: a.csv, params: [x], log: {x: 3}}}": "meta.mlflow.rows.log.x: 3; accepted: 2 or 10",
    "{model: {file: m, flavour: onnx}}": "meta.mlflow.model.flavour: 'onnx'; accepted: 'keras' or 'mlflow'",
    "{description: 3}": "meta.mlflow.description: 3; accepted: a valid string",
    "7": "meta.mlflow: 7; accepted: false, or keys indented below it",
    "": "meta.mlflow: None; accepted: false, or keys indented below it",
    "{model: {file: m, flavour: keras, best: {metric: a, mode: least}}}": "best.mode: 'least'; accepted: 'max' or 'min'",
    "{views: {A: {charts: [{}]}}}": "meta.mlflow.views.A.charts.0: {}; accepted: line, or bar, or x and y",
    "{views: {A: {charts: [{x: params.rate}]}}}": "accepted: line, or bar, or x and y",
    "{model: {file: m, flavour: keras, register: m}}": "accepted: register and alias together, best with both",
    "{model: {file: m, flavour: keras, alias: a}}": "accepted: register and alias together, best with both",
    "{model: {file: m, flavour: keras, best: {metric: a}}}": "register and alias together, best with both",
    "{views: {A: {columns: [rate]}}}": "meta.mlflow.views.A.columns.0: 'rate'; accepted: a name after params.",
    "{views: {A: {sort: loss}}}": "meta.mlflow.views.A.sort: 'loss'; accepted: a name after params.",
    "{views: {A: {group_by: seed}}}": "meta.mlflow.views.A.group_by: 'seed'; accepted: a name after params.",
    "{views: {A: {charts: [{x: rate, y: metrics.a}]}}}": "charts.0.x: 'rate'; accepted: a name after params.",
    "{views: {A: {column: []}}}": "meta.mlflow.views.A.column: unknown key; accepted: columns, sort",
}


@pytest.mark.parametrize("text", ERRORS)
def test_an_error_is_one_line_with_stage_key_value_and_what_is_accepted(text):
    from ruamel.yaml import YAML

    with pytest.raises(Unusable) as raised:
        parse("train@a", {"mlflow": YAML(typ="safe").load(text)})
    line = str(raised.value)
    assert line.startswith("dvc.yaml: stage train@a: ") and "\n" not in line
    assert ERRORS[text] in line and "instance of" not in line


@pytest.mark.parametrize("value", [5, True])
@pytest.mark.parametrize("key", Mapping.model_fields)
def test_no_key_takes_a_value_of_another_type(key, value):
    with pytest.raises(Unusable) as raised:
        parse("train@a", {"mlflow": {key: value}})
    assert str(raised.value).startswith(f"dvc.yaml: stage train@a: meta.mlflow.{key}: {value}; accepted: ")


def test_no_meta_is_convention_and_false_leaves_a_stage_out():
    assert parse("a", None) == parse("a", {"other": 1}) == parse("a", {"mlflow": True})
    assert parse("a", {"mlflow": False}) is None
    assert parse("a", {"mlflow": {"tags": {"owners": ["me", "you"]}}})


@pytest.mark.parametrize(
    "value, text",
    [(0.01, "0.01"), ("1e-7", "1e-07"), (1e-07, "1e-07"), (100.0, "100"), ("100.0", "100"), (True, "true"),
     ("full", "full"), (None, "null"), ([1, 2], "[1, 2]"), ("007", "007"), (0.1 + 0.2, "0.30000000000000004"), ("", "")],
)  # fmt: skip
def test_a_parameter_is_written_the_same_way_wherever_it_comes_from(value, text):
    assert canonical(value) == text


def test_parameters_of_a_foreach_item_lose_what_leads_to_it():
    params = {"train": {"epochs": 3}, "models.a": {"rate": 0.1, "optimizer": {"name": "sgd"}}}
    stage = Stage("train@a", "x", ".", params, {}, {}, None)
    assert parameters(stage) == {"train.epochs": "3", "rate": "0.1", "optimizer.name": "sgd"}


def test_a_final_value_with_a_curve_is_logged_once():
    run = ExpectedStage("a")
    run.curves = {"loss": {0: 1.0, 1: 0.5}}
    run.add_finals({"loss": 0.5, "test": 0.7})
    assert run.curves == {"loss": {0: 1.0, 1: 0.5}, "test": {0: 0.7}}
    assert run.final() == {"loss": 0.5, "test": 0.7}


@pytest.mark.parametrize(
    "text",
    ["http://user:hush-hush@host/x", "at postgresql+psycopg2://u:hush-hush@h/db?password=hush-hush:",
     "tcp://user:hush hush-hush@127.0.0.1:9 refused", "http://host/?token=hush-hush"],
)  # fmt: skip
def test_an_address_is_shown_without_its_secrets(text):
    assert "hush" not in redacted(text)


def test_secrets_of_the_environment_are_never_shown(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush-hush")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "user:very quiet@host:80")
    assert redacted("it was hush-hush, and very quiet") == "it was ***, and ***"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hush\nhush")
    for shown in ("hush\nhush", repr("Bearer hush\nhush")):
        assert "hush" not in in_a_line(ValueError(f"header value: {shown}"))


def test_a_long_answer_is_described_at_once():
    before = time.process_time()
    in_a_line(ValueError("http://host/" + "<p>no access</p> " * 50_000))
    redacted("http://host/" + "x " * 100_000)
    assert time.process_time() - before < 2


def test_a_server_without_logged_models_is_an_older_mlflow():
    error = RuntimeError(
        "request to endpoint /api/2.0/mlflow/logged-models failed with error code 404 != 200."
    )
    assert described(error, "http://host").endswith("; the server has an older MLflow: update it")


def test_a_path_that_is_too_long_for_sqlite_is_no_wait(tmp_path):
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        make_database(tmp_path.joinpath(*3 * ["x" * 200], "mlflow.db"))


def test_an_answer_in_json_is_its_message_if_it_has_one():
    assert described(RuntimeError('{"message": "no such run"}'), "") == "no such run"
    assert described(RuntimeError('{"detail": "no such run"}'), "") == '{"detail": "no such run"}'


def test_the_cause_is_first_in_the_line():
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise RuntimeError("API request failed\nwith a lot of words: Connection refused") from error
    except RuntimeError as error:
        assert in_a_line(error) == "Connection refused"


def test_a_setting_that_is_no_number_is_named(monkeypatch):
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "soon")
    with pytest.raises(ValueError) as error:
        MLFLOW_HTTP_REQUEST_TIMEOUT.get()
    assert in_a_line(error.value).startswith("Failed to convert 'soon' for MLFLOW_HTTP_REQUEST_TIMEOUT")


def test_addresses_are_read_as_sqlalchemy_reads_them(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert (
        tracking_uri(tmp_path, "sqlite:///a b%20.db?timeout=3") == f"sqlite:///{tmp_path}/a b%20.db?timeout=3"
    )
    assert tracking_uri(tmp_path, "SQLITE+pysqlite:///x.db ") == f"sqlite+pysqlite:///{tmp_path}/x.db"
    assert tracking_uri(tmp_path, " ") == tracking_uri(tmp_path)
    assert sqlite_file("sqlite:///file:x.db?uri=true") is sqlite_file("sqlite:no-address") is None
    assert str(sqlite_file("sqlite:////x/a%25.db?mode=ro")) == "/x/a%.db"
    assert sqlite_file("http://host") is None and sqlite_file("sqlite:///:memory:") is None


def test_waiting_for_a_lock_of_another_process_is_said(tmp_path, monkeypatch):
    path, said = tmp_path / "lock", []
    with open(path, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def release(text, **_):
            said.append(text)
            fcntl.flock(held, fcntl.LOCK_UN)

        monkeypatch.setattr(process, "NOTICE_S", 0.1)
        monkeypatch.setattr(process, "print", release, raising=False)
        with process.file_lock(path):
            assert said == [f"waiting for another process, which holds {path}"]


def test_a_process_is_known_by_more_than_its_number():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
    claim = process.fingerprint(child.pid)
    assert not process.has_ended(claim) and not process.has_ended(process.fingerprint())
    assert process.has_ended(claim[:-1] + ("1" if claim[-1] != "1" else "2")), "the number was given again"
    assert not process.has_ended("another boot/pid:[1]/1@1"), "of another machine nothing is known"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.has_ended(claim), "a zombie has ended"
    child.wait()
    assert process.has_ended(claim) and not process.has_ended("")


def test_a_request_has_a_deadline_and_a_size_limit(monkeypatch):
    with pytest.raises(process.Unanswered, match="no answer after 1 s: it"):
        with process.deadline("it", 1):
            time.sleep(30)
    monkeypatch.setattr(process, "ANSWER_MB", 20)
    with pytest.raises(process.Unanswered, match="larger than 20 MB"):
        with process.deadline("it", 20):
            held = bytearray()
            while True:
                held += os.urandom(5_000_000)
                time.sleep(0.05)


def test_a_deadline_holds_after_one_within_it():
    with pytest.raises(process.Unanswered, match="no answer after 2 s: outer"):
        with process.deadline("outer", 2):
            with process.deadline("inner", 9):
                pass
            time.sleep(30)


def test_the_first_error_of_many_requests_ends_them():
    done = []

    def request(number):
        time.sleep(0.1)
        done.append(number)
        if number == 0:
            raise ConnectionError("gone")

    store = Store(None, "http://host", None)
    with pytest.raises(ConnectionError, match="gone"):
        store.each([partial(request, number) for number in range(500)])
    assert len(done) < 100


def test_progress_starts_the_time_anew():
    with process.deadline("it", 1) as progress:
        for _ in range(4):
            time.sleep(0.4)
            progress()


def test_the_repository_of_a_temporary_workspace_is_the_users(tmp_path):
    for folder in (".dvc", ".dvc/tmp/exps/tmpabc/.dvc", "inner/.dvc"):
        (tmp_path / folder).mkdir(parents=True)
    copy = tmp_path / ".dvc/tmp/exps/tmpabc"
    assert provenance.find(copy / "x") == provenance.Place(tmp_path, copy)
    assert provenance.find(tmp_path / "inner") == provenance.Place(tmp_path / "inner", tmp_path / "inner")
    with pytest.raises(Unusable, match="`git init && dvc init` makes one"):
        provenance.find(tmp_path.parent.parent.parent)


def test_a_dvc_root_of_another_repository_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "outer")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "outer"))
    assert provenance.Place(tmp_path / "inner", tmp_path / "inner").stage() is None
    assert provenance.Place(tmp_path / "outer", tmp_path / "outer").stage() == "outer"


def test_uncommitted_changes_are_found_whatever_git_inherits(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("rate: 1\n")
    (tmp_path / "dvc.lock").write_text("{}\n")
    for command in ("init", "add -A", "-c user.name=a -c user.email=a@b commit -m Start"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    assert provenance.committed(tmp_path)
    (tmp_path / "params.yaml").write_text("rate: 2\n")
    place = provenance.Place(tmp_path, tmp_path)
    for name, value in {"GIT_LITERAL_PATHSPECS": "1", "GIT_OBJECT_DIRECTORY": "/nonexistent"}.items():
        monkeypatch.setenv(name, value)
        assert not provenance.committed(tmp_path)
        assert provenance.working_tree(place, [])[0]["git.dirty"] == "true"
    (tmp_path / ".git/index").write_text("damaged")
    assert provenance.working_tree(place, [])[0]["git.dirty"] == "true"


def test_help_is_immediate_and_imports_nothing_heavy():
    program = (
        "import sys; from dvc_mlflow.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'mlflow', 'dvc', 'pydantic'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "reader, characters, said",
    [("| true", 10**6, ""), ("> /dev/full", 9, "No space left on device\n")],
)
def test_an_output_that_cannot_be_written_is_a_line_at_most(tmp_path, reader, characters, said):
    (tmp_path / ".dvc").mkdir()
    program = f"from dvc_mlflow import __main__ as m; m._run = lambda *a: print('x' * {characters}) or 0; m.main(['check'])"
    command = f'set -o pipefail; "{sys.executable}" -c "{program}" {reader}'
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PYTHONUNBUFFERED", None)
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (141 if "|" in reader else 1, said)


@pytest.mark.parametrize(
    "raised, status",
    [(KeyboardInterrupt(), "KILLED"), (SystemExit(143), "KILLED"), (SystemExit("no"), "FAILED"), (OSError(), "FAILED")],
)  # fmt: skip
def test_an_exception_that_replaces_that_of_a_signal_ends_runs_as_killed(monkeypatch, raised, status):
    ended = []
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(LiveRun, "abandon", lambda run, how: ended.append(how))
    with pytest.raises(RuntimeError), live():
        try:
            raise raised
        finally:
            raise RuntimeError("no more")
    assert ended == [status]

"""The mirror where files, databases, paths, owners and servers are not as one would wish."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager

import psutil
import pytest

from dvc_mlflow import server
from dvc_mlflow.store import follow_move
from tests.pipeline.test_mirror_foreign import AGREES
from tests.support import http_server
from tests.support.mlflow_reader import Reader
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def forget(repository):
    """Remove the database."""
    for path in repository.folder.glob("mlflow.db*"):
        path.unlink()


def journal(file):
    """SQLite's journal mode of a database."""
    with closing(sqlite3.connect(file)) as database:
        return database.execute("PRAGMA journal_mode").fetchone()[0]


def test_a_database_of_others_keeps_its_journal_mode(plain, mirror, empty_database, tmp_path):
    theirs = tmp_path / "team.db"
    shutil.copy(empty_database, theirs)
    with closing(sqlite3.connect(theirs)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    mirror("sync", "--tracking-uri", f"sqlite:///{theirs}")
    assert journal(theirs) == "delete" and not theirs.with_name("team.db.lock").exists()


def test_our_database_has_a_write_ahead_log_and_the_groups_rights(plain):
    forget(plain)
    before = os.umask(0o002)
    try:
        plain.mirror("sync")
    finally:
        os.umask(before)
    assert journal(plain.folder / "mlflow.db") == "wal"
    assert (plain.folder / "mlflow.db").stat().st_mode & 0o777 == 0o664


NO_SHARED_MAPS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static int refused(int flags, int fd) {
  char link[64], path[4096];
  if (fd < 0 || !(flags & MAP_SHARED)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  return n > 13 && !memcmp(path + n - 13, "mlflow.db-shm", 13);
}
#define MAP(name) void *name(void *a, size_t s, int p, int f, int fd, off_t o) { \
  if (refused(f, fd)) { errno = ENODEV; return MAP_FAILED; } \
  return ((void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, #name))(a, s, p, f, fd, o); }
MAP(mmap)
MAP(mmap64)
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_where_a_write_ahead_log_cannot_work_the_mirror_does(plain, tmp_path):
    forget(plain)
    (tmp_path / "inject.c").write_text(NO_SHARED_MAPS)
    inject = str(tmp_path / "inject.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", inject, str(tmp_path / "inject.c"), "-ldl"], check=True)
    plain.mirror("sync", LD_PRELOAD=inject)
    assert plain.mirror("check", LD_PRELOAD=inject).stdout == AGREES


def test_a_database_of_a_newer_mlflow_is_one_line_with_a_remedy(synced, mirror):
    with closing(sqlite3.connect(synced.folder / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        database.commit()
    said = mirror("sync", expect=1)
    assert said.count("\n") == 1 and "newer MLflow" in said and "db upgrade" not in said
    (remedy,) = re.findall(r"`(mv .*?)`", said)
    subprocess.run(remedy, shell=True, check=True)
    again = synced.run(
        sys.executable, "-m", "dvc_mlflow", "sync"
    )  # a process that never saw the old database
    assert "train@slow: logged" in again.stdout


OLDER = """
import sys, sqlalchemy, alembic.command
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
Base.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
alembic.command.upgrade(_get_alembic_config(sys.argv[1]), "cfd24bdc0731")
"""
"""Make a database as MLflow 1.9 did. MLflow migrates it unasked where a table is missing."""


@pytest.mark.parametrize("who", ["an older MLflow", "another program"])
def test_a_database_of_others_is_one_line_and_not_changed(plain, tmp_path, who):
    uri = f"sqlite:///{tmp_path}/it's theirs.db"
    if who == "an older MLflow":
        plain.run(sys.executable, "-c", OLDER, uri)
    else:
        with closing(sqlite3.connect(tmp_path / "it's theirs.db")) as database:
            database.execute("CREATE TABLE alembic_version (version_num)")
            database.execute("CREATE TABLE patients (name)")
    before = (tmp_path / "it's theirs.db").read_bytes()
    for command in ("check", "sync"):
        line = plain.mirror(command, expect=1, MLFLOW_TRACKING_URI=uri).stderr
        assert line.startswith(f"the database is of {who}: {uri}") and line.count("\n") == 1
    assert (tmp_path / "it's theirs.db").read_bytes() == before
    if remedy := re.findall("`(.+)`", line):
        plain.run("sh", "-c", remedy[0])
        plain.mirror("sync", MLFLOW_TRACKING_URI=uri)


@pytest.mark.parametrize("damage", ["no database", "malformed"])
def test_a_damaged_database_is_one_line_with_a_remedy_that_works(
    synced, mirror, tmp_path, empty_database, damage
):
    file = tmp_path / "mlflow.db"
    content = b"this is no database" if damage == "no database" else bytearray(empty_database.read_bytes())
    if damage == "malformed":
        content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    line = mirror("check", "--tracking-uri", f"sqlite:///{file}", expect=1)
    assert damage.split()[-1] in line and line.count("\n") == 1
    subprocess.run(re.findall("`(mv .+?)`", line)[0].split(), check=True)
    synced.run(sys.executable, "-m", "dvc_mlflow", "sync", "--tracking-uri", f"sqlite:///{file}")


def test_a_folder_that_git_calls_anothers_still_has_its_commit(synced, mirror, monkeypatch):
    head = synced.run("git", "rev-parse", "HEAD").stdout.strip()
    Reader(synced.folder).client.delete_run(Reader(synced.folder).stage("train@slow").info.run_id)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    mirror("sync")
    assert Reader(synced.folder).stage("train@slow").data.tags["git.commit"] == head


def test_a_subfolder_of_a_larger_repository(synced, monkeypatch, tmp_path, mirror):
    outer = tmp_path / "larger"
    outer.mkdir()
    folder = outer / "course"
    shutil.copytree(synced.folder, folder)
    shutil.rmtree(folder / ".git")
    follow_move(folder / "mlflow.db", folder / "mlartifacts")
    monkeypatch.chdir(outer)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run(["git", *command], check=True)
    monkeypatch.chdir(folder)
    (outer / ".dvc").mkdir(exist_ok=True)
    shutil.rmtree(outer / ".dvc")
    assert mirror("check", "--rev", "HEAD") == AGREES
    assert mirror("sync", "--rev", "HEAD") == "MLflow agrees with DVC already\n"


def test_without_a_repository_there_is_one_line(monkeypatch, mirror):
    monkeypatch.chdir("/")
    for command in ("sync", "check", "ui", "server"):
        assert (
            mirror(command, expect=1)
            == "/: no DVC repository here or above; `git init && dvc init` makes one\n"
        )


ANSWERS = {
    "429": "429 Too Many\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n",
    "other service": "200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
}


class Misbehaving:
    """A server that drips, answers without end, or gives one of ANSWERS."""

    def __init__(self, kind):
        """`kind`: drip, endless, or a key of ANSWERS."""
        self.kind, self.socket = kind, socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://user:secret@127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        try:
            connection.recv(65536)
            if self.kind in ANSWERS:
                return connection.sendall(f"HTTP/1.1 {ANSWERS[self.kind]}".encode())
            connection.sendall(head + (b"Content-Length: 100000\r\n\r\n" if self.kind == "drip" else b"\r\n"))
            while True:
                connection.sendall(b" " * (1 if self.kind == "drip" else 1 << 20))
                time.sleep(1 if self.kind == "drip" else 0)
        except OSError:
            return


@pytest.mark.parametrize(
    "kind, cause",
    [
        ("drip", "no answer after 45 s"),
        ("endless", "the answer is larger"),
        ("429", ""),
        ("other service", "another service than MLflow"),
    ],
)
def test_a_server_that_misbehaves_is_one_line_within_a_minute_and_a_half(plain, kind, cause):
    server = Misbehaving(kind)
    before = time.monotonic()
    said = plain.mirror("check", expect=1, MLFLOW_TRACKING_URI=server.uri).stderr
    assert time.monotonic() - before < 90
    lines = [line for line in said.splitlines() if not line.startswith("waiting for an answer")]
    assert len(lines) == 1 and re.match(cause, lines[0]) and "secret" not in said
    server.socket.close()


@pytest.mark.parametrize(
    "address, words",
    [
        ("./mlruns", "not the address of a server"),
        ("localhost:5000", "not the address of a server"),
        ("sqlite:mlflow.db", "not the address of a server"),
        ("sqlite://", "in memory .*; accepted: "),
        ("sqlite:///:memory:", "in memory .*; accepted: "),
        ("http://127.0.0.1:99999", "Invalid url: .*; check server"),
        ("sqlite:////dev/null", "/dev/null is not a file; accepted: "),
        ("postgresql+psycopg2://user:secret@127.0.0.1:9/runs", "refused .*; check server"),
        ("mysql://user:secret@127.0.0.1/runs", "No module named .*; `pip install`"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line_with_a_remedy_at_once(plain, address, words):
    before = time.monotonic()
    said = plain.mirror("check", expect=1, MLFLOW_TRACKING_URI=address).stderr
    line = "".join(line for line in said.splitlines() if not line.startswith("waiting for an answer"))
    assert re.search(words, line) and "secret" not in said and "Traceback" not in said
    assert time.monotonic() - before < 60


def test_a_postgresql_that_does_not_answer_is_given_up(plain):
    server = socket.create_server(("127.0.0.1", 0))
    uri = f"postgresql+psycopg2://user:secret@127.0.0.1:{server.getsockname()[1]}/runs"
    said = plain.mirror("check", expect=1, MLFLOW_TRACKING_URI=uri).stderr
    assert "timeout expired" in said and "secret" not in said
    server.close()


def test_a_link_to_a_database_that_is_not_made_yet_is_followed(plain, tmp_path):
    link, database = tmp_path / "link.db", tmp_path / "made.db"
    link.symlink_to(database)
    plain.mirror("sync", MLFLOW_TRACKING_URI=f"sqlite:///{link}")
    assert link.is_symlink() and database.stat().st_size


@pytest.mark.parametrize("loaded", ["pydantic", "pandas", "dulwich"])
def test_a_command_that_is_interrupted_while_it_reads_says_nothing(plain, loaded):
    command = [sys.executable, "-m", "dvc_mlflow", "check"]
    options = {"cwd": plain.folder, "env": plain.environment, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as process:
        files = psutil.Process(process.pid).memory_maps
        wait_for(lambda: [one for one in files() if loaded in one.path])
        process.send_signal(signal.SIGINT)
        assert (process.communicate()[1], process.returncode) == ("", 130)


@contextmanager
def serving(repository, *command, port):
    """`dvc-mlflow ui` or `server` in a process of its own."""
    with open(repository.folder / "said.txt", "w") as said:
        arguments = [sys.executable, "-m", "dvc_mlflow", *command, "--port", str(port)]
        streams = {"stdout": said, "stderr": said, "start_new_session": True}
        process = subprocess.Popen(arguments, cwd=repository.folder, env=repository.environment, **streams)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def free_port():
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def said(repository):
    """Return what the server has printed."""
    return (repository.folder / "said.txt").read_text()


def until(condition, process):
    """Wait for a condition while a process lives."""
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.3)


def test_ui_prints_its_address_when_it_answers_and_ends_with_a_signal(synced):
    import requests

    port = free_port()
    shutil.rmtree(synced.folder / ".dvc" / "tmp", ignore_errors=True)  # as in a new clone
    synced.environment["MLFLOW_STATIC_PREFIX"] = "/of-another-server"
    with serving(synced, "ui", port=port) as process:
        until(lambda: "The runs are at" in said(synced), process)
        assert f"http://127.0.0.1:{port}/#/experiments/" in said(synced) and "viewStateShareKey=" in said(
            synced
        )
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=20).ok
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + 15
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/health", timeout=5)


@pytest.mark.parametrize("command", ["ui", "server"])
def test_a_port_in_use_is_one_line_and_no_address(synced, command):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = synced.mirror(command, "--port", str(port), expect=1)
        assert done.stdout == ""
        assert done.stderr == f"port {port}: Address already in use; MLFLOW_PORT or --port chooses another\n"


def test_a_server_that_was_faster_on_the_port_is_not_taken_for_ours(synced, mirror, monkeypatch):
    with http_server.serving({"/health": http_server.body(b"OK")}) as (url, _):
        monkeypatch.setattr(server, "_free_port", lambda _: int(url.rpartition(":")[2]))
        said = mirror("ui", expect=1)
    assert "did not start" in said and "The runs are at" not in said


def test_the_server_asks_for_a_password_takes_runs_and_comes_back_after_a_kill(synced):
    import requests

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(synced, "server", port=port) as process:
        until(lambda: "MLFLOW_TRACKING_USERNAME=admin" in said(synced), process)
        key = synced.folder / "mlserver/password"
        password = key.read_text().strip()
        assert len(password) == 32 and key.stat().st_mode & 0o777 == 0o600 and password not in said(synced)
        for who in (None, ("admin", "admin"), ("admin", "password1234")):
            assert requests.get(f"{url}/", auth=who, timeout=60).status_code == 401
        there = {"MLFLOW_TRACKING_URI": url, "MLFLOW_TRACKING_USERNAME": "admin"}
        wrong = synced.mirror("sync", expect=1, **there, MLFLOW_TRACKING_PASSWORD="guessed-guessed").stderr
        assert wrong.count("\n") == 1 and "401" in wrong and "guessed" not in wrong
        there["MLFLOW_TRACKING_PASSWORD"] = password
        assert "sweep: logged with 9 child runs" in synced.mirror("sync", **there).stdout
        assert synced.mirror("check", **there).stdout == AGREES
        assert synced.mirror("sync", **there).stdout == "MLflow agrees with DVC already\n"
        process.kill()
        process.wait()
    with serving(synced, "server", port=free_port()) as process:
        until(lambda: "MLFLOW_TRACKING_USERNAME=admin" in said(synced), process)


def test_eight_processes_on_an_empty_store_lose_no_run(example):
    forget(example)
    shutil.rmtree(example.folder / "mlartifacts", ignore_errors=True)
    program = (
        "import pathlib; from dvc_mlflow.store import *; prepare_environment(); root = pathlib.Path('.').resolve();"
        "from dvc_mlflow import runs; store = open_store(root, tracking_uri(root)); e = store.experiment('x');"
        "ids = [runs.start(store, e, str(n), {'n': str(n)}, runs.now()) for n in range(5)];"
        "[store.client.set_terminated(run) for run in ids]"
    )
    command = [sys.executable, "-c", program]
    options = {"cwd": example.folder, "env": example.environment, "stderr": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen(command, **options) for _ in range(8)]
    for writer in writers:
        _, err = writer.communicate()
        assert writer.returncode == 0, err
    found = Reader(example.folder).runs()
    assert len(found) == 40 and {run.info.status for run in found} == {"FINISHED"}


def test_a_kill_while_the_database_is_made_spoils_no_later_start(plain):
    forget(plain)
    half_made = plain.folder / "mlflow.db.tmp/made.db"
    for size in (20_000, 100_000):
        environment = plain.environment
        command = [sys.executable, "-m", "dvc_mlflow", "sync"]
        with subprocess.Popen(
            command, cwd=plain.folder, env=environment, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and not (half_made.exists() and half_made.stat().st_size > size):
                time.sleep(0.002)
            process.kill()
    plain.mirror("sync")
    assert plain.mirror("check").stdout == AGREES


def test_trace_leads_from_a_file_to_its_run_and_back(synced, mirror):
    reader = Reader(synced.folder)
    run = reader.stage("train@slow")
    facts = dict(
        line.split(maxsplit=1)
        for line in mirror("trace", "models/slow/model.keras").splitlines()
        if line[:1].strip()
    )
    assert facts["run"].startswith(run.info.run_id)
    assert facts["get"] == "back    not needed: they are in the working tree"
    shutil.rmtree(synced.folder / "models/slow")
    way = mirror("trace", run.info.run_id[:9]).splitlines()[-1].removeprefix("get back    ")
    assert way == "dvc checkout train@slow"
    synced.run(*way.split())
    assert (synced.folder / "models/slow/model.keras").exists()
    experiment = reader.client.get_experiment_by_name("digits").experiment_id
    reader.client.create_run(experiment, tags={"dvc.stage": "theirs", "dvc.outputs": "without a list"})
    assert "left out, its tag dvc.outs or artifact dvc.json" in mirror("trace", "models/slow/model.keras")
    assert "no run in MLflow made it" in mirror("trace", "train.py", expect=1)
    assert "zzz: no such file, and 0 run ids begin with it" in mirror("trace", "zzz", expect=1)


def test_trace_of_what_dvc_gc_removed_gets_it_from_mlflow(synced, mirror):
    there = {"MLFLOW_TRACKING_URI": "sqlite:///elsewhere.db"}
    synced.run("dvc", "exp", "run", "-q", "--temp", "-n", "other", "-S", "models.slow.rate=0.2", **there)
    mirror("sync", "--all-experiments")
    run = Reader(synced.folder).stage("train@slow", "params.rate = '0.2'").info.run_id

    def way():
        return mirror("trace", run).splitlines()[-1].removeprefix("get back    ")

    assert way().startswith("dvc get . models/slow --out ")
    synced.run("sh", "-c", way())
    assert (synced.folder / run[:8] / "model.keras").exists()
    shutil.rmtree(synced.folder / run[:8])
    synced.run("dvc", "gc", "-w", "-f", "-q")
    assert "mlflow artifacts download" in way()
    synced.run("sh", "-c", way())
    assert (synced.folder / run[:8] / "metrics.json").exists() and (
        synced.folder / run[:8] / "model"
    ).exists()

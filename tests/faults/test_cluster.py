"""Runs on a real cluster of processes on loopback, whose workers, scheduler or driver die."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import pytest
from distributed import Client

import descent
from descent import parallel
from descent.errors import UserError
from descent.parallel import ClusterUnavailable, Failure, connect, run_all, run_each
from tests.support import dask_cluster
from tests.support.small_params import ROOT
from tests.support.waiting import wait_for

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker does not have the tests

pytestmark = pytest.mark.slow  # each cluster takes seconds to start


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    with dask_cluster.running(tmp_path_factory.mktemp("cluster"), workers=3) as running:
        yield running


@pytest.fixture
def joined(processes, monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", processes.address)
    with connect() as client:
        client.wait_for_workers(2, timeout=dask_cluster.SECONDS_TO_START)
        yield client


def tick(task, shared, emit):
    """Take a while, and return the process as well."""
    for number in range(10):
        emit(number)
        time.sleep(0.02)
    return task, os.getpid()


def kill_if_zero(task, shared, emit):
    time.sleep(0.3)
    if task == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def emit_forever(task, shared, emit):
    """Emit until abandoned; write the time to a file in the folder `shared` meanwhile."""
    for number in range(3000):
        (Path(shared) / f"{task}").write_text(str(time.time()))
        emit(number)
        time.sleep(0.01)


def say_word(task, shared, emit):
    import descent

    time.sleep(0.02)
    return descent.WORD, descent.__file__


def say_word_slowly(task, shared, emit):
    emit(task)
    time.sleep(1.5)
    import descent

    return descent.WORD


def fail(task, shared, emit):
    raise ValueError(f"odd:\n{task}") if task % 2 else KeyError(task)


class OncePerWorker:
    """Writes a line to a file each time that it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        self.__dict__.update(state)
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()} {threading.current_thread().name}\n")


def use(task, shared, emit):
    time.sleep(0.02)
    return os.getpid()


def package_saying(word, folder):
    package = folder / word / "descent"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"WORD = {word!r}\n")
    return str(package / "__init__.py")


def test_data_is_unpickled_once_per_worker_in_the_thread_of_a_run(joined, tmp_path):
    path = tmp_path / "unpickled"
    processes = run_all(joined, use, range(30), OncePerWorker(str(path)))
    lines = path.read_text().splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(map(str, set(processes)))
    assert len(lines) == 3
    assert all("Dask-Default-Threads" in line for line in lines)


@pytest.mark.parametrize("runs", [2, 3])  # of more, a worker that the machine slows down takes fewer
def test_runs_spread_over_all_workers(joined, runs):
    found = run_all(joined, locate_slowly, range(runs), os.urandom(50_000_000))
    assert len(set(found)) == runs


def locate_slowly(task, shared, emit):
    time.sleep(0.5)
    return os.getpid()


def test_workers_import_the_package_that_was_sent(joined, tmp_path, monkeypatch):
    for word in ("one", "two", "one"):
        folder = tmp_path / f"{word}-{len(list(tmp_path.iterdir()))}"
        monkeypatch.setattr(descent, "__file__", package_saying(word, folder))
        words, files = zip(*run_all(joined, say_word, range(6), None), strict=True)
        assert set(words) == {word}
        assert all("/worker-" in file and ".zip/" in file for file in files)


def test_another_version_fails_the_runs_of_the_older_client(tmp_path, monkeypatch):
    with dask_cluster.running(tmp_path, workers=1, threads=2) as shared:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", shared.address)
        with connect() as client:
            monkeypatch.setattr(descent, "__file__", package_saying("old", tmp_path))
            words = []

            def start_another(index, event):
                monkeypatch.setattr(descent, "__file__", package_saying("new", tmp_path))
                with connect() as other:
                    words.extend(run_all(other, say_word, range(2), None))

            [(_, failure)] = run_each(client, say_word_slowly, ["once"], None, start_another)
    assert {word for word, _ in words} == {"new"}
    assert "RuntimeError: this worker has since imported another version of descent" in str(failure)


def test_run_that_raises_on_a_cluster_is_reported_with_its_task(joined):
    outcomes = dict(run_each(joined, fail, [0, 1], None))
    assert [str(outcomes[index]) for index in (0, 1)] == ["0: KeyError: 0", "1: ValueError: odd: 1"]


def test_runs_of_a_killed_worker_are_repeated_and_report_each_event_once(joined, processes):
    events, killed = {}, []

    def on_event(index, event):
        events.setdefault(index, []).append(event)
        if not killed and index > 5:
            killed.append(processes.processes[1])
            threading.Thread(target=processes.kill, args=killed).start()

    outcomes = dict(run_each(joined, tick, range(30), None, on_event))
    assert [outcomes[index][0] for index in range(30)] == list(range(30))
    assert events == {index: list(range(10)) for index in range(30)}
    assert killed[0].returncode is not None
    assert len({process for _, process in outcomes.values()} - {killed[0].pid}) == 2
    processes.start_worker()


def test_run_that_kills_its_workers_fails_while_others_finish(tmp_path, monkeypatch):
    settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with dask_cluster.running(tmp_path, workers=3, **settings) as doomed:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", doomed.address)
        with connect() as client:
            client.wait_for_workers(3, timeout=dask_cluster.SECONDS_TO_START)
            outcomes = dict(run_each(client, kill_if_zero, range(12), None))
        assert sum(process.poll() is not None for process in doomed.processes) == 2
    assert [outcomes[task] for task in range(1, 12)] == list(range(1, 12))
    assert isinstance(outcomes[0], Failure) and "KilledWorker" in str(outcomes[0])


def test_killed_driver_leaves_nothing_and_its_runs_stop(joined, processes, tmp_path):
    script = (
        "import time\n"
        "from descent.parallel import connect, run_all\n"
        "from tests.faults.test_cluster import emit_forever\n"
        "with connect() as client:\n"
        f"    run_all(client, emit_forever, range(9), {str(tmp_path)!r})\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    wait_for(lambda: len(list(tmp_path.iterdir())) >= 3)
    driver.kill()
    driver.wait()
    wait_for(lambda: joined.run_on_scheduler(count_tasks) == 0)
    wait_for(lambda: not any(joined.run(count_executing).values()))
    assert not joined.run_on_scheduler(list_plugins)
    assert all(count == 0 for count in joined.run(count_data).values())
    assert {path.name for path in tmp_path.iterdir()} <= {"0", "1", "2"}


def count_tasks(dask_scheduler):
    return len(dask_scheduler.tasks)


def list_plugins(dask_scheduler):
    return [name for name in dask_scheduler.worker_plugins if name != "shuffle"]


def count_executing(dask_worker):
    return len(dask_worker.state.tasks)


def count_data(dask_worker):
    return len(dask_worker.data)


def test_scheduler_that_dies_is_an_error_and_no_hang(tmp_path, monkeypatch):
    with dask_cluster.running(tmp_path, workers=1) as lost:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", lost.address)
        with pytest.raises(ClusterUnavailable, match="connection to the Dask scheduler was lost"):
            with connect() as client:
                kill = threading.Timer(0.2, lost.kill, args=[lost.processes[0]])
                run_all(client, tick, range(100), None, lambda *_: kill.start() if not kill.ident else None)


@pytest.mark.parametrize("pause_s", [0, 1, 8])
def test_scheduler_that_dies_before_anything_was_sent_is_an_error(tmp_path, monkeypatch, pause_s):
    with dask_cluster.running(tmp_path, workers=1) as lost:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", lost.address)
        with pytest.raises(ClusterUnavailable, match="connection to the Dask scheduler was lost"):
            with connect() as client:
                lost.kill(lost.processes[0])
                time.sleep(pause_s)  # Dask tries to reconnect for CONNECT_TIMEOUT_S
                run_all(client, tick, range(3), None)


def test_worker_that_joined_later_with_other_versions_computes_nothing(joined, monkeypatch):
    driver, versions = os.getpid(), parallel.get_versions

    def versions_of_another_driver(packages):
        found = versions(packages)
        found["packages"] |= {"numpy": "1.0"} if os.getpid() == driver else {}
        return found

    monkeypatch.setattr(parallel, "get_versions", versions_of_another_driver)
    with pytest.raises(UserError, match=r"the worker tcp://\S+ has numpy \S+; accepted: 1\.0, "):
        run_all(joined, tick, [0], None)


def test_runs_wait_for_a_new_worker_when_all_have_died(tmp_path, monkeypatch):
    with dask_cluster.running(tmp_path, workers=1) as alone:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", alone.address)

        def replace(index, event):
            if (index, event) == (3, 0):
                alone.kill(alone.processes[1])
                alone.start_worker()

        with connect() as client:
            found = run_all(client, tick, range(6), None, replace)
    assert [task for task, _ in found] == list(range(6))
    assert {process for _, process in found} >= {alone.processes[2].pid}


def test_runs_wait_for_the_first_worker(tmp_path, monkeypatch, capsys):
    with dask_cluster.running(tmp_path, workers=0) as empty:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", empty.address)
        with connect() as client:
            threading.Timer(1, empty.start_worker).start()
            assert [task for task, _ in run_all(client, tick, range(2), None)] == [0, 1]
    assert capsys.readouterr().err == f"{empty.address}: no worker has joined yet; runs start when one does\n"


def test_runs_of_a_worker_that_hangs_are_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "CONNECT_TIMEOUT_S", 2)
    monkeypatch.setattr(parallel, "REPLICATE_TIMEOUT_S", 2)
    settings = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s"}
    with dask_cluster.running(tmp_path, workers=2, **settings) as cluster:
        with Client(cluster.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=dask_cluster.SECONDS_TO_START)
        cluster.processes[1].send_signal(signal.SIGSTOP)
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.address)
        with connect() as client:
            found = run_all(client, tick, range(6), None)
    assert found == [(task, cluster.processes[2].pid) for task in range(6)]

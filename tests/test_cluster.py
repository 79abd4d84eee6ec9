"""Many runs at once: in threads of this process, and on a real cluster whose workers die."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import pytest

from stages.core.parallel import cluster, dispatch
from stages.core.parallel.cluster import ClusterUnavailable, connect
from stages.core.parallel.dispatch import Failure, RunsFailed, run_all, run_each
from stages.core.process import processors
from tests import dask_cluster

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker does not have the tests


@pytest.fixture(autouse=True)
def own_threads(monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)


@pytest.fixture(scope="module")
def threads():
    with connect() as client:
        yield client


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


def counted(task, shared, emit):
    """Emits as many events as the task says."""
    for number in range(task):
        emit((task, number, float("nan")))
    return task + shared


def fragile(task, shared, emit):
    """Fails where the task is odd, and leaves a mark in the folder `shared` for each try."""
    with open(Path(shared) / str(task), "a") as file:
        file.write("x")
    if task % 2:
        raise ValueError(f"odd:\n{task}")
    return task


def patient(task, shared, emit):
    """Emits for as long as anybody listens, and tells in the folder `shared` that it ended."""
    try:
        for number in range(3000):
            emit(number)
            time.sleep(0.01)
    finally:
        (Path(shared) / f"ended-{task}").touch()


def deadly(task, shared, emit):
    """Takes a while, and tells who computed it."""
    for number in range(10):
        emit(number)
        time.sleep(0.02)
    return task, os.getpid()


def where(task, shared, emit):
    """The identity of the shared object, and the process."""
    time.sleep(0.05)
    return os.getpid(), id(shared), shared


def test_threads_of_this_process_are_up_in_under_a_second():
    began = time.perf_counter()
    with connect() as client:
        assert run_all(client, counted, [0], 1) == [1]
        assert client.cluster.workers[0].state.nthreads == processors()
    assert time.perf_counter() - began < 1


def test_results_come_in_the_order_of_the_tasks_and_events_in_that_of_each_task(threads):
    heard = {}
    results = run_all(
        threads, counted, [5, 0, 3], 10, lambda index, event: heard.setdefault(index, []).append(event[:2])
    )
    assert results == [15, 10, 13]
    assert heard == {0: [(5, n) for n in range(5)], 2: [(3, n) for n in range(3)]}


def test_a_run_that_fails_three_times_is_told_with_its_task_while_the_others_finish(threads, tmp_path):
    ended = dict(run_each(threads, fragile, [0, 1, 2, 3], str(tmp_path)))
    assert (ended[0], ended[2]) == (0, 2)
    assert isinstance(ended[1], Failure) and str(ended[3]) == "3: ValueError: odd: 3"
    tries = {path.name: len(path.read_text()) for path in tmp_path.iterdir()}
    assert tries == {"0": 1, "1": dispatch.TRIES, "2": 1, "3": dispatch.TRIES}


def place(task, shared, emit):
    """Where in memory the shared value lies."""
    return id(shared)


def test_runs_in_this_process_share_the_data_itself_and_no_copy(threads):
    shared = [b"x" * 1000]
    assert run_all(threads, place, range(4), shared) == [id(shared)] * 4


def test_run_all_tells_each_failure_with_its_task_when_all_have_ended(threads, tmp_path):
    with pytest.raises(RunsFailed) as error:
        run_all(threads, fragile, [0, 1, 2, 3], str(tmp_path))
    assert str(error.value).splitlines() == ["1: ValueError: odd: 1", "3: ValueError: odd: 3"]
    assert (tmp_path / "2").exists()


def test_runs_that_nobody_waits_for_end_at_their_next_event(threads, tmp_path):
    def stop(index, event):
        if event == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(threads, patient, range(2), str(tmp_path), stop)
    deadline = time.monotonic() + 5
    while len(list(tmp_path.glob("ended-*"))) < min(2, processors()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nothing_of_dask_is_printed(tmp_path):
    script = (
        "import time\n"
        "from stages.core.parallel.cluster import connect\n"
        "from stages.core.parallel.dispatch import run_each\n"
        "from tests.test_cluster import fragile\n"
        f"with connect() as client: list(run_each(client, fragile, [0, 1], {str(tmp_path)!r}))\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("address", ["nowhere", "udp://127.0.0.1:1", "tcp://127.0.0.1:1"])
def test_an_address_without_a_scheduler_is_one_line_within_seconds(monkeypatch, address):
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 1)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
    began = time.monotonic()
    with pytest.raises(ClusterUnavailable) as error, connect():
        pass
    assert str(error.value).startswith(f"DASK_SCHEDULER_ADDRESS: no Dask scheduler at {address}: ")
    assert len(str(error.value).splitlines()) == 1
    assert time.monotonic() - began < 5


def test_a_port_that_answers_nothing_is_no_scheduler(monkeypatch):
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", f"tcp://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(ClusterUnavailable, match="no answer within 1 s"), connect():
            pass


@pytest.mark.parametrize(
    ("package", "there", "place"),
    [
        ("python", "3.10.1.final.0", "scheduler"),
        ("dask", "2020.1.0", "scheduler"),
        ("keras", "2.0", "worker"),
    ],
)
def test_other_versions_are_one_line_before_anything_starts(monkeypatch, package, there, place):
    ours = cluster.get_versions(cluster.AT_WORK)
    strange = {"packages": ours["packages"] | {package: there}}

    async def versions(address):
        return (strange, {}) if place == "scheduler" else (ours, {"tcp://w:1": ours, "tcp://w:2": strange})

    monkeypatch.setattr(cluster, "_versions", versions)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://s:1")
    with pytest.raises(ClusterUnavailable) as error, connect():
        pass
    shown = there[:4] if package == "python" else there
    subject = "the scheduler tcp://s:1" if place == "scheduler" else "the worker tcp://w:2"
    assert str(error.value).startswith(f"{subject} has {package} {shown}; accepted: ")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.slow
def test_workers_are_given_code_and_data_once(joined):
    found = run_all(joined, where, range(12), b"x" * 1000)
    objects = {}
    for process, identity, shared in found:
        assert shared == b"x" * 1000
        objects.setdefault(process, set()).add(identity)
    assert len(objects) > 1
    assert all(len(identities) == 1 for identities in objects.values())


@pytest.mark.slow
def test_another_version_of_the_project_replaces_the_one_that_a_worker_has(joined, tmp_path, monkeypatch):
    for word in ("one", "two"):
        package = tmp_path / word / "stages"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"WORD = {word!r}\n")
        monkeypatch.setattr(dispatch, "ROOT", tmp_path / word)
        assert set(run_all(joined, project_says, range(6), None)) == {word}


def project_says(task, shared, emit):
    import stages

    time.sleep(0.02)
    return stages.WORD


@pytest.mark.slow
def test_runs_of_a_worker_that_is_killed_are_computed_elsewhere_and_heard_of_once(joined, processes):
    heard, killed = {}, []

    def on_event(index, event):
        heard.setdefault(index, []).append(event)
        if not killed and index > 5:
            killed.append(processes.processes[1])
            threading.Thread(target=processes.kill, args=killed).start()

    ended = dict(run_each(joined, deadly, range(30), None, on_event))
    assert [ended[index][0] for index in range(30)] == list(range(30))
    assert all(events == list(range(10)) for events in heard.values()) and len(heard) == 30
    assert killed[0].returncode is not None
    assert len({process for _, process in ended.values()} - {killed[0].pid}) == 2
    processes.start_worker()


def poisonous(task, shared, emit):
    """Ends its worker's process if it is task 0; else takes so long that it is there when that happens."""
    time.sleep(0.3 if task == 0 else 0.6)
    if task == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


@pytest.mark.slow
def test_a_run_that_kills_its_workers_is_told_and_those_beside_it_are_computed(tmp_path, monkeypatch):
    settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with dask_cluster.running(tmp_path, workers=3, threads=2, **settings) as doomed:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", doomed.address)
        with connect() as client:
            client.wait_for_workers(3, timeout=dask_cluster.SECONDS_TO_START)
            ended = dict(run_each(client, poisonous, range(12), None))
        assert sum(process.poll() is not None for process in doomed.processes) == 2
    assert [ended[task] for task in range(1, 12)] == list(range(1, 12))
    assert isinstance(ended[0], Failure) and "KilledWorker" in str(ended[0])


@pytest.mark.slow
def test_what_a_killed_driver_left_may_be_cleared_away_by_two_at_once(joined, monkeypatch):
    left = dispatch.Shipment("Client-gone", b"", (counted, None))
    monkeypatch.setattr(joined, "run_on_scheduler", lambda *_: [left.name])  # what another has seen as well
    joined.register_plugin(left)
    for _ in range(2):
        dispatch._clear_away_what_was_left(joined)
    assert run_all(joined, counted, [3], 1) == [4]


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_an_error_and_no_hang(tmp_path, monkeypatch):
    with dask_cluster.running(tmp_path, workers=1) as lost:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", lost.address)
        with pytest.raises(ClusterUnavailable, match="connection to the Dask scheduler was lost"):
            with connect() as client:
                kill = threading.Timer(0.2, lost.kill, args=[lost.processes[0]])
                run_all(client, deadly, range(100), None, lambda *_: kill.start() if not kill.ident else None)


@pytest.mark.slow
def test_a_scheduler_that_is_gone_before_anything_was_sent_is_an_error_too(tmp_path, monkeypatch):
    with dask_cluster.running(tmp_path, workers=1) as lost:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", lost.address)
        with pytest.raises(ClusterUnavailable, match="connection to the Dask scheduler was lost"):
            with connect() as client:
                lost.kill(lost.processes[0])
                run_all(client, deadly, range(3), None)


@pytest.mark.slow
def test_a_worker_that_joined_later_with_other_versions_computes_nothing(joined, monkeypatch):
    needed = cluster.versions_at_work() | {"numpy": "1.0"}
    monkeypatch.setattr(dispatch, "versions_at_work", lambda: needed)
    with pytest.raises(RunsFailed, match=r"the worker tcp://\S+ has numpy \S+ \(accepted: 1\.0\)"):
        run_all(joined, deadly, [0], None)


@pytest.mark.slow
def test_when_all_workers_have_died_the_runs_wait_for_new_ones_and_these_are_given_everything(
    tmp_path, monkeypatch
):
    with dask_cluster.running(tmp_path, workers=1) as alone:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", alone.address)

        def replace(index, event):
            if (index, event) == (3, 0):
                alone.kill(alone.processes[1])
                alone.start_worker()

        with connect() as client:
            found = run_all(client, deadly, range(6), None, replace)
    assert [task for task, _ in found] == list(range(6))
    assert {process for _, process in found} >= {alone.processes[2].pid}

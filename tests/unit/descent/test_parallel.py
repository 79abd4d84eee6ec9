"""Runs on threads of this process, and what is checked before a cluster is used."""

import socket
import time
from pathlib import Path

import dask
import pytest
from dask.system import CPU_COUNT

from descent import parallel
from descent.errors import UserError
from descent.parallel import ClusterUnavailable, Failure, connect, run_all, run_each
from tests.support.waiting import wait_for


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)


@pytest.fixture(scope="module")
def threads():
    with connect() as client:
        yield client


def count(task, shared, emit):
    """Emit `task` events."""
    for number in range(task):
        emit((task, number, float("nan")))
    return task + shared


def fail_if_odd(task, shared, emit):
    """Append to a file in the folder `shared` for each try."""
    with open(Path(shared) / str(task), "a") as file:
        file.write("x")
    if task % 2:
        raise ValueError(f"odd:\n{task}")
    return task


def fail_once(task, shared, emit):
    emit("before")
    if not shared:
        shared.append(task)
        raise OSError("disk")
    emit("after")
    return task


def emit_forever(task, shared, emit):
    """Emit until abandoned, then leave a file in the folder `shared`."""
    try:
        for number in range(3000):
            emit(number)
            time.sleep(0.01)
    finally:
        (Path(shared) / f"ended-{task}").touch()


def identify(task, shared, emit):
    return id(shared)


def test_threads_one_for_each_processor_start_in_a_second_of_processor_time():
    began = time.process_time()
    with connect() as client:
        assert run_all(client, count, [0], 1) == [1]
        assert client.cluster.workers[0].state.nthreads == CPU_COUNT
    assert time.process_time() - began < 1


def test_cluster_in_the_settings_of_dask_is_not_joined_unchecked():
    with dask.config.set({"scheduler-address": "tcp://127.0.0.1:1"}), connect() as client:
        assert client.cluster.workers


def test_results_have_the_order_of_tasks_and_events_the_order_of_each_run(threads):
    events = {}
    results = run_all(
        threads, count, [5, 0, 3], 10, lambda index, event: events.setdefault(index, []).append(event[:2])
    )
    assert results == [15, 10, 13]
    assert events == {0: [(5, n) for n in range(5)], 2: [(3, n) for n in range(3)]}


def test_no_tasks_give_no_results(threads):
    assert run_all(threads, count, [], None) == []


def test_threads_share_the_data_itself(threads):
    shared = [b"x" * 1000]
    assert run_all(threads, identify, range(4), shared) == [id(shared)] * 4


def test_run_that_raises_is_tried_three_times_while_others_finish(threads, tmp_path):
    outcomes = dict(run_each(threads, fail_if_odd, [0, 1, 2, 3], str(tmp_path)))
    assert (outcomes[0], outcomes[2]) == (0, 2)
    assert isinstance(outcomes[1], Failure) and str(outcomes[3]) == "3: ValueError: odd: 3"
    tries = {path.name: len(path.read_text()) for path in tmp_path.iterdir()}
    assert tries == {"0": 1, "1": parallel.RUN_TRIES, "2": 1, "3": parallel.RUN_TRIES}


def test_repeated_run_reports_each_event_once(threads):
    events = []
    assert run_all(threads, fail_once, [7], [], lambda *event: events.append(event)) == [7]
    assert events == [(0, "before"), (0, "after")]


def test_connection_error_raised_by_a_run_is_a_failure_of_that_run(threads):
    [(_, failure)] = run_each(threads, raise_connection_error, [0], None)
    assert str(failure) == "0: ConnectionError: of the run"


def raise_connection_error(task, shared, emit):
    raise ConnectionError("of the run")


def test_run_all_raises_all_failures_at_the_end(threads, tmp_path):
    with pytest.raises(UserError) as error:
        run_all(threads, fail_if_odd, [0, 1, 2, 3], str(tmp_path))
    assert str(error.value).splitlines() == ["1: ValueError: odd: 1", "3: ValueError: odd: 3"]
    assert (tmp_path / "2").exists()


def test_abandoned_runs_stop_at_their_next_event(threads, tmp_path):
    def interrupt(index, event):
        if event == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(threads, emit_forever, range(2), str(tmp_path), interrupt)
    wait_for(lambda: len(list(tmp_path.glob("ended-*"))) == min(2, CPU_COUNT))


def test_closed_iterator_stops_the_other_runs(threads, tmp_path):
    outcomes = run_each(threads, emit_forever_unless_zero, [0, 1], str(tmp_path))
    assert next(outcomes) == (0, 0)
    outcomes.close()
    wait_for(lambda: CPU_COUNT == 1 or (tmp_path / "ended-1").exists())


def emit_forever_unless_zero(task, shared, emit):
    return task and emit_forever(task, shared, emit)


@pytest.mark.parametrize("address", ["nowhere", "udp://127.0.0.1:1", "tcp://127.0.0.1:1"])
def test_address_without_scheduler_is_one_line(monkeypatch, address):
    shown = "tcp://nowhere" if address == "nowhere" else address
    monkeypatch.setattr(parallel, "CONNECT_TIMEOUT_S", 1)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
    with pytest.raises(ClusterUnavailable) as error, connect():
        pass
    assert str(error.value).startswith(f"DASK_SCHEDULER_ADDRESS: no Dask scheduler at {shown}: ")
    assert len(str(error.value).splitlines()) == 1


def test_port_that_never_answers_is_no_scheduler(monkeypatch):
    monkeypatch.setattr(parallel, "CONNECT_TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
        with pytest.raises(ClusterUnavailable, match=f"at {address}: no answer within 1 s"), connect():
            pass


@pytest.mark.parametrize(
    "address",
    [
        "tcp://user:hushdear@127.0.0.1:1",
        "tcp://user:hush dear@127.0.0.1:1",
        "tcp://user:hush@dear@127.0.0.1:1",
        "user:hushdear@127.0.0.1:1",
        "strange://user:hushdear@127.0.0.1:1",
        "ws://127.0.0.1:1/?token=hushdear",
    ],
)
def test_password_of_the_address_is_never_shown(monkeypatch, capfd, address):
    monkeypatch.setattr(parallel, "CONNECT_TIMEOUT_S", 1)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
    with pytest.raises(ClusterUnavailable) as error, connect():
        pass
    out, err = capfd.readouterr()
    assert not any(word in f"{error.value}{out}{err}" for word in ("hush", "dear"))
    assert "127.0.0.1:1" in str(error.value)


@pytest.mark.parametrize(
    ("package", "version", "place"),
    [
        ("python", "3.10.1.final.0", "scheduler"),
        ("dask", "2020.1.0", "scheduler"),
        ("numpy", "1.0", "worker"),
        ("keras", None, "worker"),
    ],
)
def test_another_version_is_one_line_before_anything_starts(monkeypatch, package, version, place):
    ours = parallel.get_versions(parallel.ON_WORKERS)
    other = {"packages": ours["packages"] | {package: version}}

    async def ask(address):
        return (other, {}) if place == "scheduler" else (ours, {"tcp://w:1": ours, "tcp://w:2": other})

    monkeypatch.setattr(parallel, "_ask_versions", ask)
    monkeypatch.setattr(parallel, "Client", None)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://s:1")
    with pytest.raises(ClusterUnavailable) as error, connect():
        pass
    subject = "the scheduler tcp://s:1" if place == "scheduler" else "the worker tcp://w:2"
    there = {"python": "3.10", "keras": "missing"}.get(package, version)
    assert str(error.value).startswith(f"{subject} has {package} {there}; accepted: ")
    assert len(str(error.value).splitlines()) == 1


def test_same_code_gives_the_same_archive():
    assert parallel._archive() == parallel._archive()

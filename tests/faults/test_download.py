"""Downloads: the four files arrive complete and verified, or one message says why not."""

import gzip
import os
import shutil
import signal

import pytest

from descent import fetch
from descent.datasets import IDX_FILES
from descent.errors import UserError
from descent.fetch import Source, download
from stages.download import main
from tests.support import stage
from tests.support.http_server import body, dripping, gzipped, serving, status, truncated
from tests.support.small_disk import enlarge, small_disk
from tests.support.small_params import checksums, write_params
from tests.support.waiting import wait_for

FIRST = "t10k-images-idx3-ubyte"


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    """The seconds between retries, which pass at once."""
    seconds = []
    monkeypatch.setattr(fetch._download.retry, "sleep", seconds.append)
    return seconds


@pytest.fixture
def expected(idx_folder):
    """The checksums of the four files."""
    return checksums(idx_folder)


@pytest.fixture
def project(tmp_path, idx_folder, monkeypatch):
    """A working directory with a params.yaml for the small dataset, and no source outside this machine."""
    write_params(tmp_path, idx_folder)
    monkeypatch.chdir(tmp_path)
    for name in ("DATA_SOURCE", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def is_complete(folder, expected):
    """Return whether the folder has the four files, and nothing else but their description."""
    if not folder.exists():
        return False
    found = checksums(folder)
    found.pop("dataset.json", None)
    return found == expected


def start(project, source, prefix=()):
    """Start the stage in a process of its own."""
    return stage.start(project, "download", prefix=prefix, DATA_SOURCE=str(source))


# Without a fault


def test_a_corrupt_file_is_named_and_it_alone_is_replaced(tmp_path, idx_folder, expected, capsys):
    shutil.copytree(idx_folder, tmp_path, dirs_exist_ok=True)
    corrupt = bytearray((tmp_path / FIRST).read_bytes())
    corrupt[5000] ^= 1
    (tmp_path / FIRST).write_bytes(corrupt)
    with serving(gzipped(idx_folder)) as (url, requested):
        download(expected, tmp_path, [Source(url)])
    assert requested == [f"/{FIRST}.gz"] and is_complete(tmp_path, expected)
    err = capsys.readouterr().err
    assert err.startswith(f"{tmp_path / FIRST}: the SHA-256 is ") and err.endswith("; replacing it\n")


# A source that fails: one line, and the next source is tried

ONE_FAULT = {  # each kind of failure is in tests/unit/descent/test_fetch.py
    "404": (lambda good: status(404), "404 Not Found", []),
    "truncated body": (truncated, "a truncated body", [1, 2, 4]),
    "HTML instead of a file": (
        lambda good: body(b"\n<!DOCTYPE html><html>Log in</html>", content_type="text/html"),
        "a web page with the SHA-256 ",
        [],
    ),
    "wrong bytes": (lambda good: body(gzip.compress(b"\0\0 other")), "8 bytes with the SHA-256 ", []),
}


@pytest.mark.parametrize("answer, reason, waits", ONE_FAULT.values(), ids=ONE_FAULT)
def test_a_source_that_fails_is_reported_and_the_next_is_tried(
    tmp_path, idx_folder, expected, capsys, slept, answer, reason, waits
):
    routes = gzipped(idx_folder)
    routes[f"/{FIRST}.gz"] = answer(gzip.compress((idx_folder / FIRST).read_bytes()))
    with serving(routes) as (url, _):
        download(expected, tmp_path, [Source(url), Source(str(idx_folder))])
    assert is_complete(tmp_path, expected)
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith(f"{url}: no {FIRST}: {reason}")
    assert slept == waits and len(err) == 1 + len(waits)


def test_a_transient_failure_is_retried(tmp_path, idx_folder, expected, capsys, slept):
    routes = gzipped(idx_folder)
    routes[f"/{FIRST}.gz"] = [status(500), truncated(bytes(99)), routes[f"/{FIRST}.gz"]]
    with serving(routes) as (url, requested):
        download(expected, tmp_path, [Source(url)])
    assert is_complete(tmp_path, expected) and slept == [1, 2]
    assert requested.count(f"/{FIRST}.gz") == 3 and len(requested) == 6
    assert "500 Internal Server Error; retrying in 1 s" in capsys.readouterr().err


def test_files_of_one_source_are_kept_when_the_next_is_tried(tmp_path, idx_folder, expected):
    names = list(expected)
    with serving(gzipped(idx_folder)) as (url, requested), serving({}) as (empty, _):
        half = tmp_path / "half"
        half.mkdir()
        for name in names[:2]:
            shutil.copy(idx_folder / name, half)
        download(expected, tmp_path / "raw", [Source(str(half)), Source(empty), Source(url)])
    assert requested == [f"/{name}.gz" for name in names[2:]] and is_complete(tmp_path / "raw", expected)


def test_when_all_sources_fail_one_message_lists_each_with_its_reason(tmp_path, expected):
    with serving({}) as (empty, _), serving({f"/{FIRST}.gz": body(b"other")}) as (wrong, _):
        sources = [Source(str(tmp_path / "none")), Source(empty), Source(wrong)]
        with pytest.raises(UserError) as caught:
            download(expected, tmp_path / "raw", sources)
    first, *reasons, advice = str(caught.value).splitlines()
    assert first == f"{tmp_path / 'raw'}: no source has the right {', '.join(expected)}:"
    assert reasons[0] == f"  {tmp_path / 'none'}: no {FIRST}: No such file or directory"
    assert reasons[1] == f"  {empty}: no {FIRST}: 404 Not Found"
    assert reasons[2].startswith(f"  {wrong}: no {FIRST}: 5 bytes with the SHA-256 d9298a10d1b07358")
    assert advice.startswith("Set DATA_SOURCE to a folder or an https URL") and len(reasons) == 3
    assert not (tmp_path / "raw").exists()


# The stage


# A fault of this machine


def test_a_full_disk_is_reported_and_leaves_complete_files_only(project, expected):
    with small_disk(project / "data/raw", kilobytes=300) as raw:  # the training images are 627,216 bytes
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == "data/raw/train-images-idx3-ubyte: No space left on device"
        assert checksums(raw).items() <= expected.items()
        enlarge(raw)
        main()
        assert is_complete(raw, expected)


WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Permissions bind root only without these two capabilities."""


def test_a_folder_without_permission_is_reported(project, idx_folder):
    folder = project / "data/raw"
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root and not shutil.which("setpriv"):
        pytest.skip("permissions do not bind root, and there is no setpriv")
    process = start(project, idx_folder, WITHOUT_PRIVILEGES if root else ())
    _, err = process.communicate(timeout=120)
    folder.chmod(0o755)
    assert process.returncode == 1
    assert err == f"data/raw/{IDX_FILES[0]}: Permission denied\n"
    assert list(folder.iterdir()) == []


def slowly(idx_folder):
    """Return the third file's name, and the routes of a mirror that takes a second for it."""
    routes = gzipped(idx_folder)
    second = IDX_FILES[2]
    routes[f"/{second}.gz"] = [
        dripping(gzip.compress((idx_folder / second).read_bytes()), pieces=50, pause=0.02),
        routes[f"/{second}.gz"],
    ]
    return second, routes


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=lambda sign: sign.name)
def test_after_a_kill_the_next_run_completes_the_files(project, idx_folder, expected, monkeypatch, sign):
    slow, routes = slowly(idx_folder)
    folder = project / "data/raw"
    with serving(routes) as (url, requested):
        process = start(project, url)
        wait_for(lambda: f"/{slow}.gz" in requested)
        process.send_signal(sign)
        _, err = process.communicate(timeout=120)
        assert process.returncode == (130 if sign == signal.SIGINT else -sign)
        assert err == ("interrupted\n" if sign == signal.SIGINT else "")
        assert not folder.exists(), "the checksum is of all files together"
        requested.clear()
        monkeypatch.setenv("DATA_SOURCE", url)
        main()
    assert requested == [f"/{name}.gz" for name in IDX_FILES]
    assert is_complete(folder, expected)


def test_two_downloads_at_once_both_complete(project, idx_folder, expected):
    _, routes = slowly(idx_folder)
    with serving(routes) as (url, _):
        processes = [start(project, url), start(project, url)]
        ends = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0] and [err for _, err in ends] == ["", ""]
    assert is_complete(project / "data/raw", expected)

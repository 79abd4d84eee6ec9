"""Signals end a process at once, a second writer is rejected, and a process ends with its parent."""

import io
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from descent.errors import UserError
from descent.process import exclusive_writer, progress_bar
from tests.support.small_params import ROOT


def start(code: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


INTERRUPTED = """
import signal, sys, threading, time
from contextlib import contextmanager
from descent.process import interruptible

{before}
threading.Thread(target=time.sleep, args=(600,)).start()

@contextmanager
def opened():
    try:
        yield
    finally:
        print("closed", flush=True)

with interruptible(), opened():
    print("ready", flush=True)
    time.sleep({seconds})
print("went on", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda sign: sign.name)
def test_a_signal_closes_the_block_and_ends_the_process_at_once(number):
    """A thread that computes for ten minutes more does not keep it alive."""
    with start(INTERRUPTED.format(before="", seconds=600)) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (128 + number, "closed\n", "")


REWRITTEN = """
import os, signal
import descent.process, dvc_mlflow.process

with {block}():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        {then}
print("went on", flush=True)
"""


@pytest.mark.parametrize("block", ["descent.process.interruptible", "dvc_mlflow.process.stoppable"])
@pytest.mark.parametrize("then", ["raise ImportError('optree') from None", "pass"])
def test_a_signal_ends_the_process_where_its_exception_is_caught(block, then):
    """A C++ module turns any exception in its initialization into an ImportError."""
    with start(REWRITTEN.format(block=block, then=then)) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (128 + signal.SIGTERM, "", "")


DESTRUCTOR = """type("Closed", (), {"__del__": lambda _: os.kill(os.getpid(), signal.SIGTERM)})()"""


@pytest.mark.parametrize("package, block", [("descent", "interruptible"), ("dvc_mlflow", "stoppable")])
def test_a_signal_ends_the_process_where_work_goes_on(package, block):
    """Python prints the exception of a destructor, and goes on."""
    work = f"process.END_WITHIN_S = 0.2; {DESTRUCTOR}; import time; time.sleep(600)"
    code = f"import os, signal\nfrom {package} import process\nwith process.{block}():\n    {work}"
    with start(code) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (128 + signal.SIGTERM, "", "")


def test_a_signal_that_was_ignored_stays_ignored():
    before = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    with start(INTERRUPTED.format(before=before, seconds=0.3)) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "closed\n"
        assert process.stdout.readline() == "went on\n"
        process.kill()


def test_the_handlers_are_as_before_after_the_block():
    code = "import signal; from descent.process import *; before = signal.getsignal(signal.SIGTERM)\n"
    code += "with interruptible(): pass\nassert signal.getsignal(signal.SIGTERM) is before"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


PARENT = """
import subprocess, sys
child = "from descent.process import *; import time; end_with_parent(); print(1, flush=True); time.sleep(600)"
process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
process.stdout.readline()
print(process.pid, flush=True)
process.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_process_ends_with_a_parent_that_was_killed():
    with start(PARENT) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        _, alive = psutil.wait_procs([child], timeout=120)
    assert not alive


def test_a_second_writer_is_rejected_while_the_first_lives(tmp_path):
    code = (
        f"from descent.process import *; import time\nwith exclusive_writer({str(tmp_path / 'models')!r}):\n"
    )
    code += "    print('ready', flush=True); time.sleep(60)"
    with start(code) as writer:
        assert writer.stdout.readline() == "ready\n"
        with pytest.raises(UserError) as caught, exclusive_writer(tmp_path / "models"):
            pass
        assert str(caught.value) == (
            f"{tmp_path / 'models'}: process {writer.pid} is writing it; wait until it ends, or end it"
        )
        writer.kill()
    with exclusive_writer(tmp_path / "models"):
        pass
    assert os.listdir(tmp_path) == [".models.lock"]


def test_writers_of_different_folders_do_not_wait(tmp_path):
    with exclusive_writer(tmp_path / "a"), exclusive_writer(tmp_path / "b"):
        pass


def test_a_progress_bar_without_a_terminal_is_silent(capfd):
    with progress_bar("baseline", epochs=2) as bar:
        bar.update(1)
        time.sleep(0.15)
        bar.update(1)
    assert capfd.readouterr() == ("", "")


def test_a_progress_bar_of_80_columns_shows_model_epochs_time_left_and_accuracy(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar("a_name_of_25_letters_xxxx", epochs=100) as bar:
        bar.ncols, bar.start_t = 80, bar.start_t - 370
        bar.set_postfix_str("accuracy 97.6%", refresh=False)
        bar.update(37)
        line = str(bar)
    assert line.startswith("a_name_of_25_letters_xxxx: |") and len(line) <= 80
    assert "37 of 100 epochs [06:10<10:30, accuracy 97.6%]" in line

"""A real Dask cluster on loopback: a scheduler and workers, processes that cannot import the project."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_for

DASK = str(Path(sys.executable).parent / "dask")
SECONDS_TO_START = 120


class Cluster:
    """Hold the scheduler's address and the processes."""

    def __init__(self, folder: Path, threads: int, settings: Mapping[str, str]):
        self.folder, self.threads, self.settings = folder, threads, settings
        self.processes: list[subprocess.Popen] = []
        file = folder / "scheduler.json"
        self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-show"
        )
        wait_for(lambda: file.exists() and file.stat().st_size or self.processes[0].poll() is not None)
        assert self.processes[0].poll() is None, self.log("scheduler")
        self.address = json.loads(file.read_text())["address"]

    def start_worker(self) -> subprocess.Popen:
        """Start a worker in a folder of its own."""
        home = self.folder / f"worker-{len(self.processes)}"
        options = (
            "--nthreads",
            str(self.threads),
            "--no-nanny",
            "--local-directory",
            str(home),
            "--dashboard-address",
            ":0",
        )
        return self._start("worker", self.address, *options)

    def kill(self, process: subprocess.Popen) -> None:
        """Kill a process as the kernel does when memory runs out."""
        process.send_signal(signal.SIGKILL)
        process.wait()

    def log(self, of: str = "") -> str:
        """Return the output of the processes."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob(f"*{of}*.log")))

    def stop(self) -> None:
        """End all processes."""
        for process in reversed(self.processes):
            process.kill()
        for process in self.processes:
            process.wait()

    def _start(self, what: str, *options: str) -> subprocess.Popen:
        strange = ("PYTHONPATH", "DASK_SCHEDULER_ADDRESS")
        environment = {name: value for name, value in os.environ.items() if name not in strange}
        environment |= self.settings
        with open(self.folder / f"{len(self.processes)}-{what}.log", "w") as log:
            process = subprocess.Popen(
                [DASK, what, *options], cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.processes.append(process)
        return process


@contextmanager
def running(folder: Path, workers: int, threads: int = 1, **settings: str) -> Iterator[Cluster]:
    """Run a cluster for the block; `settings` are Dask's, as environment variables."""
    cluster = Cluster(folder, threads, settings)
    try:
        for _ in range(workers):
            cluster.start_worker()
        yield cluster
    finally:
        cluster.stop()

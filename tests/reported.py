"""The report's tables and pictures for made-up models, and the stage run in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from stages.core.params import Params

ROOT = Path(__file__).parent.parent


def write_params(folder: Path, params: Params) -> None:
    """Write params.yaml, its keys in the order they have: the report keeps to it."""
    values = params.model_dump(exclude_none=True, mode="json")
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def run_report(folder: Path, params: Params) -> subprocess.CompletedProcess:
    """The stage in `folder`, which gets params.yaml, but not in MLflow; its output as text."""
    write_params(folder, params)
    if not (folder / "stages").exists():
        (folder / "stages").symlink_to(ROOT / "stages")
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {name: "" for name in ("DVC_STAGE", "DVC_ROOT")}
    code = "from stages import report; report.tracking.report = lambda params: None; report.main()"
    command = [sys.executable, "-W", "default", "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

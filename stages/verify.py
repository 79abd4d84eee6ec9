"""Prove that the committed results are reproduced: all stages again in a fresh clone, every hash compared.

A command, not a stage.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stages.core import reproduction
from stages.core.files import replacing
from stages.core.timing import processor, versions

RECORD = Path("reports/reproduction.md")


def main() -> None:
    """`python -m stages.verify [--write]`; `--write` records the verdict in reports/reproduction.md."""
    if sys.argv[1:] not in ([], ["--write"]):
        print(
            f"stages.verify: {' '.join(sys.argv[1:])!r} is not accepted; accepted: --write", file=sys.stderr
        )
        raise SystemExit(2)
    if changed := _git("status", "--porcelain", "--untracked-files=no"):
        sys.exit(f"not committed, so that no commit can be verified:\n{changed}")
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        clone = Path(folder) / "project"
        _git("clone", "--quiet", ".", str(clone))
        committed = reproduction.outputs(clone)
        _repeat(clone)
        verdict = reproduction.verdict(committed, reproduction.outputs(clone))
    report = reproduction.as_markdown(verdict, _git("rev-parse", "--short", "HEAD"), processor(), versions())
    print(report)
    if sys.argv[1:]:
        with replacing(RECORD) as temporary:
            temporary.write_text(report, encoding="utf-8")
    sys.exit(not verdict.reproduced)


def _repeat(clone: Path) -> None:
    """Run every stage in `clone`, from the raw files that lie here, if they do, with MLflow beside it."""
    here = Path("data/raw").resolve()
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the stages' python, too
    environment = os.environ | {"PATH": programs, "MLFLOW_TRACKING_URI": f"sqlite:///{clone}/mlflow.db"}
    if here.exists():
        environment.setdefault("MNIST_SOURCE", str(here))
    done = subprocess.run([sys.executable, "-m", "dvc", "repro", "--force"], cwd=clone, env=environment)
    if done.returncode:
        sys.exit(f"dvc repro exited with {done.returncode} in a fresh clone")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.rstrip()


if __name__ == "__main__":
    main()

"""The commands of `descent`: show, check, resolve, verify, checksum."""

import argparse
import os
import sys
from collections.abc import Sequence

from descent import startup
from descent.errors import in_one_line


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `descent`. Libraries are imported by the command that needs them, so that --help is immediate."""
    if arguments is None:  # as a command; a caller keeps its own signal handlers
        startup.prepare()
    parser = argparse.ArgumentParser(
        "descent", description="Look at the experiment's results and check them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    added = {}
    for run in (_show, _check, _resolve, _verify, _checksum):
        name, description = run.__name__.strip("_"), run.__doc__ or ""  # none under PYTHONOPTIMIZE
        added[name] = commands.add_parser(name, help=description.partition("\n")[0], description=description)
        added[name].set_defaults(run=run)
    added["check"].add_argument("--quick", action="store_true", help="check params.yaml and dvc.lock only")
    added["checksum"].add_argument("source", metavar="SOURCE", help="a path, or an https URL")

    options = parser.parse_args(arguments)
    if "source" in options and "://" not in options.source:
        options.source = os.path.abspath(os.path.expanduser(options.source))
    from descent.integrity import repository

    os.chdir(repository())
    if "source" not in options and not os.path.isdir(".dvc"):  # a checksum needs no repository
        sys.exit(f"{os.getcwd()}: no DVC repository here or above; descent runs in the experiment's folder")
    try:
        with in_one_line():
            options.run(options)
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "dvc":  # whose import takes a while
            raise
        places = ".dvc/config.local or ~/.config/dvc/config"
        config = f"`git checkout .dvc/config` mends it, or an editor there, in {places}"
        remedy = config if "config" in str(error) else "`dvc status` says where"
        sys.exit(f"dvc: {' '.join(str(error).split())}; {remedy}")


def _show(_: argparse.Namespace) -> None:
    """Print the answers and the tables behind them."""
    from descent import paths
    from descent.config import read_params

    params = read_params()
    if not paths.COMPARISON.exists():
        sys.exit(f"{paths.COMPARISON}: does not exist; `dvc repro` makes it")
    from descent import reproduction
    from descent.report import sentences, tables

    comparison = tables.read_table(paths.COMPARISON)
    if missing := [name for name in params.studies if name not in set(comparison.study)]:
        sys.exit(f"{paths.COMPARISON}: has no study {', '.join(missing)}; `dvc repro` makes it")
    print(sentences.terminal(params, comparison))
    print(
        "\nAccuracies: mean ± standard deviation over the seeds, after the last epoch."
        "\n\nreport       reports/report.html"
        "\nexplorer     reports/explorer.html"
        "\nnotebook     make notebook"
        "\nruns         make ui"
        "\nexperiments  dvc exp show --only-changed --drop '.*/|models$'"
    )
    if line := reproduction.other_bytes():
        print(f"\n{line}")


def _check(options: argparse.Namespace) -> None:
    """Find damaged files.

    Checks params.yaml, dvc.lock and every file that dvc.lock names, here and in DVC's cache. Prints each
    fault with the command that mends it; exit code 1 if there is any.
    """
    from descent import integrity
    from descent.config import read_params

    read_params()
    root = integrity.repository()
    if fault := integrity.git_fault(root):
        sys.exit(fault)
    for folder in filter(os.path.islink, ("data", "models", "reports")):
        mends = f"rm {folder} && dvc cache dir --local FOLDER && dvc config --local cache.type symlink"
        sys.exit(f"{folder}: is a link, which DVC rejects; to keep large files elsewhere: {mends}")
    if integrity.remove_truncated_rwlock(root):
        print(f"{integrity.RWLOCK}: was truncated, as by a kill of dvc; removed", file=sys.stderr)
    if damage := integrity.lock_damage(root) or integrity.other_owner(root):
        sys.exit(damage)
    if options.quick:
        return
    if not (root / integrity.LOCK).exists():
        sys.exit(f"{integrity.LOCK}: does not exist; `dvc repro` makes it")
    from dvc.repo import Repo

    repo = Repo(str(root))
    files = list(integrity.recorded_files(repo))
    if not files:
        sys.exit("dvc.yaml: has no stage that dvc.lock has; `git checkout dvc.yaml` or `dvc repro` mends it")
    has_remote = "remote" in repo.config["core"]
    if found := list(integrity.damages(root, files, has_remote)):
        sys.exit("\n".join(found))
    print(f"{len(files)} files and folders in dvc.lock are intact, here and in DVC's cache")


def _resolve(_: argparse.Namespace) -> None:
    """Resolve a merge conflict in dvc.lock, stage by stage."""
    from descent import files, integrity

    text = integrity.resolve_conflict(integrity.LOCK.read_text(encoding="utf-8"))
    files.write_text(integrity.LOCK, text)
    print(f"{integrity.LOCK}: resolved; `dvc repro` runs what does not fit together")


def _checksum(options: argparse.Namespace) -> None:
    """Print the entry of params.yaml for a dataset of your own.

    A dataset is four IDX files, an .npz file, or a folder (or zip or tar archive of one) with a subfolder of
    images for each class.
    """
    import contextlib
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from descent import addresses, config, data, errors, fetch

    source = options.source
    if not addresses.is_public_source(source):
        sys.exit(f"{addresses.public_url(source)}: is not accepted; accepted: {addresses.PUBLIC_SOURCE}")
    if Path(source).is_relative_to(Path.cwd()):
        source = os.path.relpath(source)
    try:
        with TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
            copied = fetch.copy_source(source, None, Path(folder))
            raw = data.read_raw(copied, Path(folder))
    except fetch.Unavailable as error:
        sys.exit(f"{addresses.public_url(source)}: {error}")
    except (errors.UserError, OSError) as error:
        text = str(error)
        for copy in (f"{folder}/{data.NPZ}", folder):  # gone by now
            text = text.replace(copy, addresses.public_url(source))
        sys.exit(text)
    images, height, width = raw.train.images.shape
    test = len(raw.test.labels) if raw.test else max(1, images // 6)
    tested = f"{test:,} test images besides" if raw.test else f"{test:,} of them become test images"
    most = images if raw.test else images - test
    print(f"# {images:,} images of {width} x {height} pixels in {len(raw.class_names)} classes; {tested}")
    print(f"# preprocess: training_images + validation_images can be at most {most}")
    print(config.own_dataset_entry(source, copied.published, None if raw.test else test), end="")


def _verify(_: argparse.Namespace) -> None:
    """Run the pipeline again in a fresh clone of the last commit and compare every output.

    Exit code 1 if the results are not reproduced.
    """
    from descent import reproduction

    verdict, report = reproduction.verify()
    print(report)
    sys.exit(not verdict.reproduced)

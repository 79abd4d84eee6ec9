"""The commands: `descent show`, `descent check`, `descent verify`, `descent checksum`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from descent import startup


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `descent`. Libraries are imported by the command that needs them, so that --help is immediate."""
    if arguments is None:  # as a command; a caller keeps its own signal handlers
        startup.prepare()
    parser = argparse.ArgumentParser(
        "descent", description="Look at the experiment's results and check them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    show = commands.add_parser("show", help="print the comparison tables")
    show.set_defaults(run=lambda options: _show())

    check = commands.add_parser(
        "check",
        help="find damaged files",
        description="Check params.yaml, dvc.lock and every file that dvc.lock names, here and in DVC's "
        "cache. Prints each fault with the command that mends it; exit code 1 if there is any.",
    )
    check.add_argument("--quick", action="store_true", help="check params.yaml and dvc.lock only")
    check.set_defaults(run=lambda options: _check(options.quick))

    resolve = commands.add_parser("resolve", help="resolve a merge conflict in dvc.lock, stage by stage")
    resolve.set_defaults(run=lambda options: _resolve())

    verify = commands.add_parser(
        "verify",
        help="run the pipeline again in a fresh clone and compare every output",
        description="Run the pipeline of the last commit again in a fresh clone and compare every output. "
        "Exit code 1 if the results are not reproduced.",
    )
    verify.add_argument("--write", action="store_true", help="record the result in reports/reproduction.md")
    verify.set_defaults(run=lambda options: _verify(options.write))

    checksum = commands.add_parser(
        "checksum",
        help="print the entry of params.yaml for a dataset of your own",
        description="Read a dataset: four IDX files, an .npz file, or a folder (or zip or tar archive of "
        "one) with a subfolder of images for each class. Print its entry for params.yaml, with its checksum.",
    )
    checksum.add_argument("source", metavar="SOURCE", help="a path, or an https URL")
    checksum.set_defaults(run=lambda options: _checksum(options.source))

    options = parser.parse_args(arguments)
    if "source" in options and "://" not in options.source:
        options.source = os.path.abspath(os.path.expanduser(options.source))
    from descent.integrity import repository

    os.chdir(repository())
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # its reader has read enough, as `head` does
        os._exit(128 + signal.SIGPIPE)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _show() -> None:
    from descent import paths
    from descent.config import read_params_or_exit

    params = read_params_or_exit()
    comparison = paths.REPORTS / "comparison.csv"
    if not comparison.exists():
        sys.exit(f"{comparison}: does not exist; `dvc repro` makes it")
    from descent import reproduction
    from descent.report import sentences, tables

    print(sentences.terminal(params, tables.read_table(comparison)))
    print(
        "\nreport       reports/report.html"
        "\nnotebook     make notebook"
        "\nruns         make ui"
        "\nexperiments  dvc exp show --only-changed --drop '.*/|models$'"
    )
    if line := reproduction.other_bytes():
        print(f"\n{line}")


def _check(quick: bool) -> None:
    from descent import integrity
    from descent.config import read_params_or_exit

    read_params_or_exit()
    root = integrity.repository()
    if fault := integrity.git_fault(root):
        sys.exit(fault)
    if integrity.remove_truncated_rwlock(root):
        print(f"{integrity.RWLOCK}: was truncated, as by a kill of dvc; removed", file=sys.stderr)
    if damage := integrity.lock_damage(root):
        sys.exit(str(damage))
    if quick:
        return
    if not (root / integrity.LOCK).exists():
        sys.exit(f"{integrity.LOCK}: does not exist; `dvc repro` makes it")
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo(str(root))
        files = list(integrity.recorded_files(repo))
    except DvcException as error:
        sys.exit(f"dvc: {' '.join(str(error).split())}")
    has_remote = "remote" in repo.config["core"]
    if found := list(integrity.damages(root, files, has_remote)):
        sys.exit("\n".join(map(str, found)))
    print(f"{len(files)} files and folders in dvc.lock are intact, here and in DVC's cache")


def _resolve() -> None:
    from descent import files, integrity

    try:
        text = integrity.resolve_conflict(integrity.LOCK.read_text(encoding="utf-8"))
    except ValueError as error:
        sys.exit(str(error))
    files.write_text(integrity.LOCK, text)
    print(f"{integrity.LOCK}: resolved; `dvc repro` runs what does not fit together")


def _checksum(source: str) -> None:
    import contextlib
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from descent import config, data, datasets, fetch

    if error := datasets.source_error(source):
        sys.exit(f"{fetch.public_url(source)}: is not accepted; accepted: {error}")
    if Path(source).is_relative_to(Path.cwd()):
        source = os.path.relpath(source)
    try:
        with TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
            copied = fetch.copy_source(source, None, Path(folder))
            description = data.RawDataset("", "", copied.format)
            raw = data.open_raw(description, Path(folder))
            height, width = raw.read_images()[0].shape[1:]
    except fetch.Unavailable as error:
        sys.exit(f"{fetch.public_url(source)}: {error}")
    except (data.InvalidData, OSError) as error:
        sys.exit(str(error))
    images, own_test = len(raw.labels), raw.test_labels is not None
    test = max(1, images // 6) if raw.test_labels is None else len(raw.test_labels)
    tested = f"{test:,} test images besides" if own_test else f"{test:,} of them become test images"
    most = images if own_test else images - test
    print(f"# {images:,} images of {width} x {height} pixels in {len(raw.class_names)} classes; {tested}")
    print(f"# preprocess: training_images + validation_images can be at most {most}")
    print(config.own_dataset_entry(source, copied.checksum, None if own_test else test), end="")


def _verify(write: bool) -> None:
    from descent import files, reproduction

    verdict, report = reproduction.verify()
    print(report)
    if write:
        files.write_text(reproduction.RECORD, report)
    sys.exit(not (verdict.identical or (verdict.complete and verdict.means_agree)))


if __name__ == "__main__":
    main()

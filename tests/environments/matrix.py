"""The environments that the pipeline is run in, a row each; docs/environments.md is written from them.

    python -m tests.environments.matrix > docs/environments.md

A row is made of text alone: variables, a program that runs the commands, shell commands that prepare the clone.
In it {files} is a folder with what `FILES` lists, {clone} the folder of the clone and {root} this repository.
"""

import re
from typing import NamedTuple

DATA = ("dvc repro -q -f preprocess",)
TRAIN = ("dvc repro -q -f train",)
REPORT = ("dvc checkout -q", "dvc repro -q -f -s report")
EXPLORER = ("dvc checkout -q", "dvc repro -q -f -s explorer")
NOTEBOOK = ("dvc checkout -q", "dvc repro -q -f -s notebook")
CHECK = ("dvc checkout -q", "dvc status -q", "python -m descent check")
SYNC = ("dvc checkout -q", "python -m dvc_mlflow sync")
QUICK = ("python -m descent check --quick",)
SHOW = ("python -m descent show",)

FOREIGN_KERNEL = '{"argv": ["false"], "display_name": "Python 3", "language": "python"}'
FILES = {
    "home/.keras/keras.json": '{"floatx": "float64", "image_data_format": "channels_first", "backend": "jax"}',
    "home/.ipython/profile_default/startup/00.py": "raise SystemExit('of the home directory')",
    "home/.config/matplotlib/matplotlibrc": "figure.dpi: 17",
    "home/.config/dask/distributed.yaml": "distributed: {comm: {require-encryption: true}}",
    "damaged/.gitconfig": "[user",
    "damaged-dask/.config/dask/dask.yaml": "temporary-directory: [",
    "foreign/numpy.py": "raise ImportError('of another Python')",
    "foreign/yaml.py": "raise ImportError('of another Python')",
    "home/.local/share/jupyter/kernels/python3/kernel.json": FOREIGN_KERNEL,
    "jupyter/kernels/python3/kernel.json": FOREIGN_KERNEL,
    "clone/stages/__init__.py": "from descent import startup\nstartup.prepare(stage=True)\n",
    "nologin": "#!/bin/sh\necho This account is currently not available.\nexit 1\n",
    "odd-shell": '#!/bin/sh\n[ "$1 $#" = "-c 2" ] && exec sh "$@"\necho "unknown option $1"\nexit 2\n',
    "no-folder-fsync/sitecustomize.py": """
import errno, os, stat
sync = os.fsync
def fsync(file):
    if stat.S_ISDIR(os.fstat(file).st_mode):
        raise OSError(errno.EINVAL, "Invalid argument")
    sync(file)
os.fsync = fsync
""",
    "no-flock/sitecustomize.py": """
import errno, fcntl
def flock(*arguments):
    raise OSError(errno.ENOSYS, "Function not implemented")
fcntl.flock = flock
""",
    "no-mmap/sitecustomize.py": """
import errno, mmap
class Unmapped(mmap.mmap):
    def __new__(cls, file, *arguments, **options):
        if file != -1:
            raise OSError(errno.ENODEV, "No such device")
        return super().__new__(cls, file, *arguments, **options)
mmap.mmap = Unmapped
""",
}


class Environment(NamedTuple):
    """A row: a name, how the environment is made, and what is promised in it.

    Attributes:
        name: A short description.
        commands: Typed in a fresh clone.
        variables: Set for these commands; an empty text removes one.
        before: A shell command in front of each one, in the same shell.
        prefix: A program that runs each command; where it does not work, the row cannot be tried.
        folder: The name of the clone's folder.
        clone: A shell command that makes the clone, if not `git clone`.
        prepare: Shell commands in the clone, before the environment holds.
        line: Printed by the last command, which fails. Without one all succeed, and git finds no change:
            dvc.lock and all results have the bytes of the usual environment.
        after: A shell command that then succeeds.
    """

    name: str
    commands: tuple[str, ...]
    variables: dict[str, str] = {}
    before: str = ""
    prefix: str = ""
    folder: str = "project"
    clone: str = "git clone -q {template} {clone}"
    prepare: tuple[str, ...] = ()
    line: str = ""
    after: str = "true"


def by_make(*commands: str) -> tuple[str, ...]:
    """Return commands that the project's Makefile runs, as `make run` runs its own."""
    return tuple(f"make --eval 'typed: ; @{command}' typed" for command in commands)


ENVIRONMENTS = [
    # terminals and processes
    Environment("ASCII terminal", SHOW, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}),
    Environment("Latin-1 terminal", SHOW, {"PYTHONIOENCODING": "latin-1"}),
    Environment(
        "another language, time zone and settings of Python",
        REPORT + SYNC,
        {
            "LC_ALL": "tr_TR.UTF-8",
            "TZ": "Pacific/Apia",
            "TMPDIR": "/nonexistent",
            "SOURCE_DATE_EPOCH": "0",
            "PYTHONHASHSEED": "7",
            "PYTHONOPTIMIZE": "2",
            "PYTHONWARNINGS": "error",
            "PYTHONDEVMODE": "1",
        },
    ),
    Environment("nohup and background jobs", DATA, before="trap '' HUP INT"),
    Environment("closed standard input", DATA, before="exec <&-"),
    Environment("one processor, few open files", TRAIN, prefix="prlimit --nofile=256 taskset -c 0"),
    Environment(
        "proxy that does not answer",
        DATA,
        {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"},
    ),
    # variables and settings of libraries
    Environment(
        "settings of TensorFlow, XLA, Keras and Dask",
        TRAIN,
        {
            "TF_DETERMINISTIC_OPS": "1",
            "TF_ENABLE_ONEDNN_OPTS": "1",
            "TF2_BEHAVIOR": "0",
            "XLA_FLAGS": "--no_such_flag",
            "TF_XLA_FLAGS": "--no_such_flag",
            "KERAS_BACKEND": "jax",
            "DNNL_MAX_CPU_ISA": "SSE41",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "DASK_TEMPORARY_DIRECTORY": "/proc/nowhere",
            "HOME": "{files}/home",
        },
    ),
    Environment(
        "damaged settings of Dask", TRAIN, {"HOME": "{files}/damaged-dask"}, line="dask.yaml' is malformed"
    ),
    Environment(
        "threads and instructions of NumPy",
        REPORT,
        {"OMP_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"},
    ),
    Environment(
        "kernel and settings of Jupyter",
        NOTEBOOK,
        {
            "JUPYTER_PATH": "{files}/jupyter",
            "JUPYTER_RUNTIME_DIR": "/proc/nowhere",
            "IPYTHONDIR": "/proc/nowhere",
            "HOME": "{files}/home",
            "MPLBACKEND": "agg",
            "XLA_FLAGS": "--no_such_flag",
        },
    ),
    Environment(
        "Python of another installation",
        by_make(*DATA),
        {"PYTHONPATH": "{files}/foreign", "PYTHONHOME": "/nonexistent", "PYTHONSAFEPATH": "1"},
    ),
    Environment(
        "code of another clone, with PYTHONSAFEPATH",
        DATA,
        {"PYTHONPATH": "{files}/clone:{root}", "PYTHONSAFEPATH": "1"},
    ),
    Environment(
        "started by a stage of another DVC repository",
        SYNC,
        {
            "DVC_ROOT": "{files}",
            "DVC_STAGE": "train",
            "DVC_EXP_NAME": "theirs",
            "DVC_EXP_BASELINE_REV": "0" * 40,
        },
    ),
    Environment(
        "started by a hook of another git repository",
        SYNC,
        {
            "GIT_DIR": "{root}/.git",
            "GIT_WORK_TREE": "{root}",
            "GIT_INDEX_FILE": "{root}/.git/index",
            "GIT_LITERAL_PATHSPECS": "1",
        },
    ),
    # accounts
    Environment("home that cannot be written", SYNC, {"HOME": "/proc/nowhere"}),
    Environment(
        "user without a name",
        by_make(*SYNC),
        {"HOME": "/nonexistent", "USER": "", "LOGNAME": ""},
        prefix="unshare --user --map-user=54321 --map-group=54321",
    ),
    Environment(
        "umask 002",
        DATA + SYNC,
        before="umask 002",
        after="test -z \"$(find data mlflow.db -not -perm -g=w -not -path '*/.dvc/*')\"",
    ),
    Environment("umask 077", DATA, before="umask 077"),
    Environment("account without a shell", by_make(*DATA), {"SHELL": "{files}/nologin"}),
    Environment("shell that is missing", by_make(*DATA), {"SHELL": "/nonexistent/zsh"}),
    Environment("unusual shell, such as fish or csh", DATA, {"SHELL": "{files}/odd-shell"}),
    # places
    Environment("spaces, %, ?, # and é in the path", DATA + SYNC, folder="a b%25c?d=1#é ü/project"),
    Environment("file system that cannot sync a folder", DATA, {"PYTHONPATH": "{files}/no-folder-fsync"}),
    Environment("file system that cannot map a file", EXPLORER, {"PYTHONPATH": "{files}/no-mmap"}),
    Environment(
        "file system without locks, and core.hardlink_lock of DVC",
        QUICK + DATA + SYNC,
        {"PYTHONPATH": "{files}/no-flock"},
        prepare=("dvc config --local core.hardlink_lock true",),
    ),
    Environment(
        "cache of links, shared with a group",
        (*CHECK, *DATA),
        prepare=("dvc config --local cache.type symlink", "dvc config --local cache.shared group"),
    ),
    # the state of git
    Environment(
        "CRLF line ends",
        CHECK,
        clone="git clone -q -c core.autocrlf=true -c core.eol=crlf {template} {clone}",
    ),
    Environment(
        "detached head of a shallow clone",
        SYNC,
        clone="git clone -q --depth 1 file://{template} {clone}",
        prepare=("git checkout -q --detach",),
    ),
    Environment("worktree", SYNC, clone="git -C {template} worktree add -q --detach {clone}"),
    Environment(
        "subfolder of another repository",
        DATA + SYNC,
        folder="course/project",
        prepare=("rm -rf .git", "git init -q ..", "git add ..", "git commit -qm Course"),
    ),
    Environment(
        "git without user.name",
        DATA,
        {"HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"},
    ),
    Environment(
        "folder of another user",
        ("make repository",),
        {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent"},
        line="this folder belongs to another user: git config --global --add safe.directory",
    ),
    Environment("damaged settings of git", QUICK, {"HOME": "{files}/damaged"}, line="git: fatal: bad config"),
    Environment(
        "damaged settings of git, for the mirror",
        ("python -m dvc_mlflow check",),
        {"HOME": "{files}/damaged", "LC_ALL": "C.UTF-8", "LANGUAGE": "de"},
        line="git: fatal: bad config",
    ),
    Environment("ZIP without .git", QUICK, prepare=("rm -rf .git",), line="git init"),
]

INTRODUCTION = """\
# Environments

In each of these the commands end as they usually do, and `git status` finds no change: dvc.lock and every result
have the same bytes. Where that is impossible, one line says why and what helps. Everything else that is promised
is in [faults.md](faults.md).

`descent/startup.py` decides what is inherited: it removes what leads to another repository, another kernel or other
bits. `descent/engine/backend.py` does so for TensorFlow and Keras, and the Makefile for Python, git and the shell.
`make test-all` runs a small pipeline in each row of
[`tests/environments/matrix.py`](../tests/environments/matrix.py), from which this page is written (`python -m
tests.environments.matrix > docs/environments.md`). Another environment is another row.

| environment | how it is made | what works there |
|---|---|---|
"""
CLOSING = """
`make` sets up `.venv` with the Python, index, proxy and certificates that pip is configured with, whatever else is
inherited: [`test_setup.py`](../tests/environments/test_setup.py). `make run` works with Python 3.11, 3.12 and 3.13:
[`test_pythons.py`](../tests/environments/test_pythons.py). All of this was run on Linux on x86-64; the packages are
locked for Linux on arm64 and macOS on arm64 as well, where nothing was run.

Another kind of processor rounds other last bits: there `make run` ends with a line that names the stages whose bytes
differ from the last commit's ([reproducibility.md](reproducibility.md)).
"""
WHAT = {
    DATA: "download, preprocess",
    TRAIN: "train",
    REPORT: "report",
    EXPLORER: "explorer",
    NOTEBOOK: "notebook",
    CHECK: "`descent check`, `dvc status`",
    SYNC: "`dvc-mlflow sync`",
    QUICK: "`descent check --quick`",
    SHOW: "`descent show`",
}


def document() -> str:
    """Write the table in Markdown."""
    return INTRODUCTION + "".join(map(_row, ENVIRONMENTS)) + CLOSING


def _row(row: Environment) -> str:
    default = Environment._field_defaults
    variables = " ".join(f"{name}={value}" for name, value in row.variables.items())
    made = [re.sub(r"( -C| file://)? ?\{\w+\}", "", row.clone)]
    made = [*(made if row.clone != default["clone"] else []), *row.prepare, row.before, row.prefix, variables]
    made += [f"cd '{row.folder}'"] if row.folder != default["folder"] else []
    how = ", ".join(f"`{text}`" for text in made if text).replace("{files}", "…").replace("{root}", "…")
    typed = "; ".join(row.commands)
    works = ", ".join(
        text
        for commands, text in WHAT.items()
        if any("; ".join(run) in typed for run in (commands, by_make(*commands)))
    )
    if row.line:
        works = f"one line: “{row.line.replace('.*', '…')}”"
    elif typed.startswith("make"):
        works += ", by `make`"
    return f"| {row.name} | {how} | {works} |\n"


if __name__ == "__main__":
    print(document(), end="")

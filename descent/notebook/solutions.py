"""The notebook: built from solutions.md.j2, executed, its outputs stored inside."""

import asyncio
import json
import math
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbclient import NotebookClient

from descent.colors import LIGHT
from descent.config import images_per_update
from descent.format import counted, listed, markdown

MOST_TRAININGS = 6
"""Trainings in one notebook; the longest takes about 15 s of its minute."""


class Code(NamedTuple):
    """An activation and its derivative, as Python, and as LaTeX."""

    function: str
    derivative: str
    formula: str
    imports: str = ""  # from scipy.special


ACTIVATION_CODE = {
    "relu": Code("np.maximum(z, 0)", "z > 0", r"ReLU, $\varphi(z) = \max(z, 0)$"),
    "tanh": Code("np.tanh(z)", "1 - np.tanh(z) ** 2", r"$\varphi(z) = \tanh z$"),
    "sigmoid": Code(
        "expit(z)", "expit(z) * (1 - expit(z))", r"sigmoid, $\varphi(z) = 1 / (1 + e^{-z})$", "expit"
    ),
    "elu": Code(
        "np.where(z > 0, z, np.expm1(np.minimum(z, 0)))",
        "np.exp(np.minimum(z, 0))",
        r"ELU, $\varphi(z) = z$ for $z > 0$ and $e^z - 1$ otherwise",
    ),
    "gelu": Code(
        "z * ndtr(z)",
        "ndtr(z) + z * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)",
        r"GELU, $\varphi(z) = z \, \Phi(z)$ with the normal distribution function $\Phi$",
        "ndtr",
    ),
    "silu": Code(
        "z * expit(z)",
        "expit(z) * (1 + z * (1 - expit(z)))",
        r"SiLU, $\varphi(z) = z / (1 + e^{-z})$",
        "expit",
    ),
}


class Task(NamedTuple):
    """A study that the notebook answers itself.

    Attributes:
        question, names: Of the study; the names of its models.
        varied, values, fixed: The settings that its trainings vary, their values, and those that they share.
        items: A training each: name, title, batch_size, learning_rate, updates (in an epoch), arguments (of
            the notebook's `train`), task (the number of an earlier task that has this training, or 0).
    """

    question: str
    names: list[str]
    varied: list[str]
    values: list[str]
    fixed: list[str]
    items: list[dict[str, Any]]


class Left(NamedTuple):
    """A study that is left to the pipeline, and why."""

    question: str
    names: list[str]
    reason: str


def render(params: Any, summary: Mapping[str, Any], root: Path | str = ".") -> str:
    """Build and execute the notebook.

    The result holds neither times nor progress, and has the same bytes each time on the same kind of
    machine. What the kernel writes to its standard error, progress bars among it, goes to this process's.

    Args:
        params: The content of params.yaml.
        summary: The content of data/arrays/summary.json and data/dataset.json.
        root: The folder that holds data/arrays and reports/comparison.csv.

    Returns:
        The notebook as text.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
        nbclient.exceptions.DeadKernelError: The kernel ended, for want of memory, say.
    """
    notebook = assemble(params, summary)
    metadata = notebook.metadata.copy()  # the kernel adds its version
    with _kernel_settings() as environment:
        client = _Client(
            notebook,
            timeout=None,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,  # a print may arrive in one piece or in two
            resources={"metadata": {"path": str(root)}},
            extra_arguments=KERNEL_ARGUMENTS,
            on_notebook_start=_signal_handlers(),
        )
        client.execute(env=environment)
    notebook.metadata = metadata
    return nbformat.writes(notebook)


def assemble(params: Any, summary: Mapping[str, Any]) -> nbformat.NotebookNode:
    """Build the notebook without executing it; for the arguments see `render`."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"markdown": markdown, "counted": counted, "listed": listed, "python": json.dumps}
    text = environment.get_template("solutions.md.j2").render(_content(params, summary))
    cells = [cell for cell in _cells(text) if cell.source]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _content(params: Any, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the template."""
    images, epochs = summary["train"]["images"], params.train.epochs
    live, left = _divide(params)
    trained = list(dict.fromkeys(name for _, names in live for name in names))
    models = {name: params.models[name] for name in trained or [next(iter(params.models))]}
    hidden, activation = next((model.hidden_layers, model.activation) for model in models.values())
    tasks: list[Task] = []
    for study, names in live:
        tasks.append(_task(study, names, models, images, tasks))
    alike = [model for model in models.values() if model.hidden_layers == hidden]
    tuned = [
        {params.models[name].batch_size for name in study.names if name in params.tuned.models}
        for study in left
    ]
    # A training that shows gradient descent: many updates, but not too many, at a usual rate.
    example = min(
        alike,
        key=lambda model: (
            not 32 <= images_per_update(model.batch_size, images) < images,
            abs(math.log10(model.learning_rate / 0.01)),
        ),
    )
    return {
        "title": summary.get("title"),
        "images": images,
        "epochs": epochs,
        "seeds": len(params.train.seeds),
        "stride": min(step for step in range(1, epochs + 1) if epochs % step == 0 and epochs / step <= 5),
        "hidden": hidden,
        "widths": [str(width) for width in (*hidden, summary["classes"])],
        "activation": activation,
        "code": ACTIVATION_CODE[activation],
        "tasks": tasks,
        "left": left,
        "tuned_sizes": any(len(sizes) > 1 for sizes in tuned),
        "trained": trained,
        "colors": LIGHT,
        "shared": sum(len(task.items) for task in tasks) - len(trained),
        "shapes": len({models[name].hidden_layers for name in trained}) > 1,
        "example": {
            "batch_size": images_per_update(example.batch_size, images),
            "learning_rate": _rate(example.learning_rate),
        },
    }


def _divide(params: Any) -> tuple[list[tuple[Any, list[str]]], list[Left]]:
    """Divide the studies: those that the notebook trains, each with its models, and those that it leaves.

    A study qualifies if all its models use plain gradient descent and the activation of the first such
    study, as long as there are at most MOST_TRAININGS trainings. Of a first study that is larger the
    first models are trained.
    """
    live: list[tuple[Any, list[str]]] = []
    left: list[Left] = []
    trained: set[str] = set()
    activation = None
    for study in params.studies.values():
        names, models = list(study.models), [params.models[name] for name in study.models]
        optimizers = sorted({model.optimizer for model in models} - {"sgd"})
        activations = sorted({model.activation for model in models})
        if tuned := [name for name in names if name in params.tuned.models]:
            why = f"The pipeline's sweep chooses the learning rates of {listed(tuned)}."
        elif optimizers:
            known = "the NumPy code above knows plain gradient descent only"
            why = f"These trainings use {listed(optimizers)}; {known}."
        elif activations != [activation or activations[0]]:
            why = f"These trainings use {listed(activations)} as activation."
        elif live and len(trained | set(names)) > MOST_TRAININGS:
            why = "These trainings would take too long in a notebook."
        else:
            activation, chosen = activations[0], names[:MOST_TRAININGS]
            live.append((study, chosen))
            trained |= set(chosen)
            if chosen == names:
                continue
            why = f"Of its {len(names)} trainings the notebook runs the first {len(chosen)}."
        left.append(Left(study.question, names, why))
    return live, left


TRAINING_SETTINGS = ("batch size", "learning rate", "hidden layers")
"""The settings that the notebook's own trainings may vary."""


def _task(
    study: Any, names: list[str], models: Mapping[str, Any], images: int, earlier: Sequence[Task]
) -> Task:
    """Describe a study; the trainings of `earlier` tasks are not repeated."""
    hidden = next(iter(models.values())).hidden_layers
    settings = {name: _settings(models[name], images) for name in names}
    values = {key: list(dict.fromkeys(each[key] for each in settings.values())) for key in TRAINING_SETTINGS}
    varied = [key for key in TRAINING_SETTINGS if len(values[key]) > 1] or ["batch size"]  # a single training
    usual = [] if models[names[0]].hidden_layers != hidden else ["hidden layers"]
    items = []
    for name in names:
        size, rate = images_per_update(models[name].batch_size, images), settings[name]["learning rate"]
        arguments = f"batch_size={'len(x_train)' if size == images else size}, learning_rate={rate}"
        if models[name].hidden_layers != hidden:
            arguments += f", hidden={models[name].hidden_layers}"
        items.append(
            {
                "name": name,
                "title": listed([f"{key} {settings[name][key]}" for key in varied]).capitalize(),
                "batch_size": f"{size:,}",
                "learning_rate": rate,
                "updates": math.ceil(images / size),
                "arguments": arguments,
                "task": next((n for n, task in enumerate(earlier, 1) if name in task.names), 0),
            }
        )
    varied_values = [f"{key} {listed(values[key])}" for key in varied]
    fixed = [f"{key} {values[key][0]}" for key in TRAINING_SETTINGS if key not in [*varied, *usual]]
    return Task(study.question, names, varied, varied_values, fixed, items)


def _settings(model: Any, images: int) -> dict[str, str]:
    size = images_per_update(model.batch_size, images)
    sizes = f"{size:,} (the full sample)" if size == images else f"{size:,}"
    hidden = " + ".join(map(str, model.hidden_layers)) or "none"
    return dict(zip(TRAINING_SETTINGS, (sizes, _rate(model.learning_rate), hidden), strict=True))


def _rate(rate: float) -> str:
    """Format a learning rate without a power of ten, in as many digits as it needs; valid Python too."""
    return np.format_float_positional(rate, trim="-")


FENCED = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def _cells(text: str) -> Iterator[nbformat.NotebookNode]:
    """Divide the rendered template: code between fences, and Markdown, which a line `---` divides."""
    for place, part in enumerate(FENCED.split(text)):
        if place % 2:
            yield nbformat.v4.new_code_cell(part.strip())
        else:
            yield from (nbformat.v4.new_markdown_cell(piece.strip()) for piece in part.split("\n---\n"))


KERNEL_ARGUMENTS = [
    "--HistoryManager.enabled=False",
    "--IPKernelApp.capture_fd_output=False",  # what TensorFlow writes in C++ is no output of a cell
    "--log-level=ERROR",
]


class _Client(NotebookClient):
    """Pass on what the kernel writes to standard error, progress bars above all, instead of storing it."""

    def output(self, outs, msg, display_id, cell_index):
        if msg["msg_type"] == "stream" and msg["content"]["name"] == "stderr":
            print(msg["content"]["text"], end="", file=sys.stderr, flush=True)
            return None
        return super().output(outs, msg, display_id, cell_index)


def _signal_handlers() -> Callable[..., None]:
    """Give a function that puts the handlers of this moment back in place of nbclient's.

    nbclient's end the kernel and then fail with the traceback of an AssertionError.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore(**_: Any) -> None:
        for number, handler in handlers.items():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, handler)

    return restore


IPYTHON = """
c.InlineBackend.figure_formats = {"retina"}
c.InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "metadata": {"Software": None}}
"""
"""PNG images, because Jupyter Lab does not show the SVG images of a notebook that it has not run itself."""
MATPLOTLIB = """
font.family: DejaVu Sans
axes.spines.top: False
axes.spines.right: False
"""
"""The font that Matplotlib brings along, and what a person's own settings would add is left out."""


@contextmanager
def _kernel_settings() -> Iterator[dict[str, str]]:
    """Give the environment of a kernel that knows no personal settings of IPython, Matplotlib or Keras."""
    with tempfile.TemporaryDirectory() as folder:
        profile, matplotlibrc = Path(folder, "profile_default"), Path(folder, "matplotlibrc")
        profile.mkdir()
        (profile / "ipython_kernel_config.py").write_text(IPYTHON)
        matplotlibrc.write_text(MATPLOTLIB)
        yield os.environ | {
            "IPYTHONDIR": folder,
            "KERAS_HOME": folder,
            "KERAS_BACKEND": "tensorflow",
            "MATPLOTLIBRC": str(matplotlibrc),
            # An update frees arrays as large as those of the next one: glibc keeps their memory.
            "MALLOC_MMAP_MAX_": "0",
            "MALLOC_TRIM_THRESHOLD_": "-1",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYTHONHASHSEED": "0",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_NUM_INTRAOP_THREADS": "1",  # more threads add numbers in another order
            "TQDM_NCOLS": "78",
            **({} if sys.stderr.isatty() else {"TQDM_DISABLE": "1"}),
        }

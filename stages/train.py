"""Train a model of params.yaml, or all tuned ones, once per seed: data/arrays -> models/."""

import itertools
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dvc_mlflow
from descent import parallel, paths, process
from descent.config import Params, read_params, with_tuned
from descent.data import Dataset, load_dataset
from descent.engine.settings import RunSettings
from descent.errors import UsageError, in_one_line
from descent.results import identity, write_results, write_run_tables
from descent.timings import write_timing

TUNED = "--tuned"
"""In place of a model's name. One process trains them all: to start one for each would take longer."""


@in_one_line()
def main() -> None:
    """Run the stage."""
    params = read_params()
    argument, started = _argument(params), datetime.now(UTC)
    tuned, title = argument == TUNED, argument.removeprefix("--")
    params = with_tuned(params) if tuned else params
    models = list(params.tuned.models) if tuned else [argument]
    dataset = load_dataset()
    runs = [(model, run) for model in models for run in params.model_runs(model)]
    who = [identity(*pair) if tuned else {"seed": pair[1].seed} for pair in runs]
    writer = process.exclusive_writer(paths.MODELS / title)
    with process.interruptible(), writer, dvc_mlflow.live() as live:
        trained = _train(title, [run for _, run in runs], who, dataset, live) if runs else []
        lines, unwritten = [], iter(trained)
        for model in models:
            settings = params.model_runs(model)
            results = list(itertools.islice(unwritten, len(settings)))
            folder = paths.MODELS / params.results_folder(model)
            lines.append(_line(write_results(folder, model, settings, results, dataset)))
        if tuned:
            write_run_tables(paths.TUNED, who, trained)
        names = [f"{model}, seed {run.seed}" for model, run in runs]
        timed = dict(zip(names, trained, strict=True))
        seconds = write_timing(paths.timing(f"train@{title}"), started, timed)
    print("\n".join(lines or ["tuned: no models"]) + f", in {seconds:.0f} s")


def _line(metrics: Mapping[str, Any]) -> str:
    """Say how the runs of a model ended."""
    accuracies = [run["validation_accuracy"] or 0 for run in metrics["seeds"]]
    return (
        f"{metrics['model']}: {metrics['status']}, validation accuracy {min(accuracies):.2%} to "
        f"{max(accuracies):.2%} over {len(accuracies)} seed{'s' * (len(accuracies) != 1)}"
    )


def _train(
    title: str,
    runs: Sequence[RunSettings],
    who: Sequence[dict[str, Any]],
    dataset: Dataset,
    live: dvc_mlflow.LiveRun,
) -> list:
    """Train the runs side by side; show and log each epoch as it ends, `who` being the run's identity."""
    from descent.engine.training import TensorData, train_run  # imports TensorFlow, after all is validated

    epochs = sum(run.epochs for run in runs)
    with parallel.connect() as client, process.progress_bar(title, epochs) as bar:

        def on_epoch(index: int, epoch: dict) -> None:
            metrics = {key: value for key, value in epoch.items() if key not in ("epoch", "updates")}
            live.log(step=epoch["epoch"], metrics=metrics, child=who[index])
            bar.set_postfix_str(f"accuracy {epoch['validation_accuracy']:.1%}", refresh=False)
            bar.update(min(epoch["epoch"], 1))  # epoch 0 is before training

        return parallel.run_all(client, train_run, runs, TensorData(dataset), on_epoch)


def _argument(params: Params) -> str:
    accepted = [*params.models, TUNED]
    if len(sys.argv) == 2 and sys.argv[1] in accepted:
        return sys.argv[1]
    given = " ".join(sys.argv[1:])
    raise UsageError(f"stages.train: {given!r} is not accepted; accepted: one of {', '.join(accepted)}")


if __name__ == "__main__":
    main()
    process.leave()

"""Train one model of params.yaml, once per seed: data/arrays -> models/<model>/."""

import sys
from datetime import UTC, datetime

import dvc_mlflow
from descent import parallel, paths, process
from descent.config import Params, read_params_or_exit
from descent.data import Dataset, InvalidData, load_dataset
from descent.files import error_line
from descent.results import write_results, write_timing


def main() -> None:
    """Run the stage."""
    params = read_params_or_exit()
    name = _model_argument(params)
    started = datetime.now(UTC)
    try:
        dataset = load_dataset()
        with process.interruptible(), process.exclusive_writer(paths.model(name)), dvc_mlflow.live() as live:
            runs = params.model_runs(name)
            trained = _train(name, runs, dataset, live)
            metrics = write_results(paths.model(name), name, runs, trained, dataset)
            seconds = write_timing(
                paths.timing(f"train@{name}"),
                started,
                [(f"seed {run.seed}", result) for run, result in zip(runs, trained, strict=True)],
            )
    except (InvalidData, process.Busy, parallel.ClusterUnavailable, parallel.RunsFailed) as error:
        sys.exit(str(error))
    except OSError as error:  # a full disk, say; earlier files are unchanged
        sys.exit(error_line(error))
    accuracies = [run["validation_accuracy"] or 0 for run in metrics["seeds"]]
    print(
        f"{name}: {metrics['status']}, validation accuracy {min(accuracies):.2%} to {max(accuracies):.2%} "
        f"over {len(accuracies)} seeds, in {seconds:.0f} s"
    )


def _train(name: str, runs: list, dataset: Dataset, live: dvc_mlflow.LiveRun) -> list:
    """Train all seeds side by side; show and log each epoch as it ends."""
    from descent.engine.training import TensorData, train_run  # imports TensorFlow, after all is validated

    epochs = sum(run.epochs for run in runs)
    with parallel.connect() as client, process.progress_bar(name, epochs) as bar:

        def on_epoch(index: int, epoch: dict) -> None:
            metrics = {key: value for key, value in epoch.items() if key not in ("epoch", "updates")}
            live.log(step=epoch["epoch"], metrics=metrics, child={"seed": runs[index].seed})
            bar.set_postfix_str(f"accuracy {epoch['validation_accuracy']:.1%}", refresh=False)
            bar.update(min(epoch["epoch"], 1))  # epoch 0 is before training

        return parallel.run_all(client, train_run, runs, TensorData(dataset), on_epoch)


def _model_argument(params: Params) -> str:
    if len(sys.argv) == 2 and sys.argv[1] in params.models:
        return sys.argv[1]
    given, accepted = " ".join(sys.argv[1:]), ", ".join(params.models)
    print(f"stages.train: {given!r} is not accepted; accepted: one of {accepted}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
    process.leave()

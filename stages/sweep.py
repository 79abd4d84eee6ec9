"""Train the runs of the sweep that are missing: data/arrays -> data/sweep, reports/sweep.csv, rates.json."""

import sys
from datetime import UTC, datetime

import dvc_mlflow
from descent import parallel, paths, process, rates, sweep
from descent.config import read_params
from descent.data import Dataset, load_dataset
from descent.engine.settings import RunSettings
from descent.errors import in_one_line
from descent.files import write_json, write_table
from descent.metrics import EPOCH_METRICS
from descent.results import IDENTITY
from descent.timings import write_timing


@in_one_line()
def main() -> None:
    """Run the stage."""
    params, started = read_params(), datetime.now(UTC)
    runs = list(dict.fromkeys([*params.sweep_runs(), *params.tuning_runs()]))
    dataset = load_dataset()
    cache = sweep.open_cache(dataset)
    new = [run for run in runs if cache.read(run) is None]
    kept = {run.seed for run in set(runs) - set(new)}
    without_plane = [
        run for run in _one_per_seed(runs) if run.seed not in kept or cache.read_plane(run) is None
    ]
    with process.interruptible(), process.exclusive_writer(paths.SWEEP), dvc_mlflow.live() as live:
        trained, failures = _train(new, dataset, cache, without_plane, live)
        timed = {str(run): result for run, result in trained.items()}
        seconds = write_timing(paths.timing("sweep"), started, timed)
        if not failures:
            cache.keep_only(runs)
            table = sweep.table(runs, cache, dataset.classes)
            write_table(paths.SWEEP_TABLE, table)
            write_json(paths.RATES, rates.tuned_rates(table, params.tuned_rows()))
    if failures:
        print(*failures, sep="\n", file=sys.stderr)
        sys.exit(f"sweep: {len(failures)} of {len(runs)} runs failed; the others are kept in {cache.runs}")
    runs_word = "run" if len(runs) == 1 else "runs"
    print(f"sweep: {len(runs)} {runs_word}, {len(new)} of them trained now, in {seconds:.0f} s")


def _train(
    runs: list[RunSettings],
    dataset: Dataset,
    cache: sweep.SweepCache,
    without_plane: list[RunSettings],
    live: dvc_mlflow.LiveRun,
) -> tuple[dict[RunSettings, sweep.SweepRun], list[parallel.Failure]]:
    """Compute the planes of the runs in `without_plane`; then train the runs, and write each when it ends."""
    if not runs and not without_plane:
        return {}, []
    from descent.engine.training import TensorData, train_run  # imports TensorFlow, to train a run only

    runs, trained, failures = sweep.longest_first(runs, cache.images), {}, []
    epochs, tensors = sum(run.epochs for run in runs), TensorData(dataset)
    with parallel.connect() as client, process.progress_bar("sweep", epochs) as bar:

        def on_epoch(index: int, epoch: dict) -> None:
            bar.update(min(epoch["epoch"], 1))  # epoch 0 is before training

        references = [sweep.reference_run(run, cache.images) for run in without_plane]
        spanning = parallel.run_all(client, train_run, references, tensors)
        for run, result in zip(without_plane, spanning, strict=True):
            cache.write_plane(run, sweep.plane_of(result.trajectory))
        planes = {
            run.seed: plane for run in _one_per_seed(runs) if (plane := cache.read_plane(run)) is not None
        }
        data = sweep.SweepData(tensors, planes)
        for index, result in parallel.run_each(client, sweep.train_sweep_run, runs, data, on_epoch):
            if isinstance(result, parallel.Failure):
                failures.append(result)
                continue
            cache.write(runs[index], result.history, result.view)
            trained[runs[index]] = result
            _log(live, runs[index], result)
            bar.set_postfix_str(f"{len(trained)} of {len(runs)} runs", refresh=False)
    return trained, failures


def _log(live: dvc_mlflow.LiveRun, run: RunSettings, result: sweep.SweepRun) -> None:
    """Log what a run ended with, and how long it took."""
    seconds = result.compile_seconds + sum(result.epoch_seconds)
    metrics = {metric.key: result.history[-1][metric.key] for metric in EPOCH_METRICS}
    child = {name: getattr(run, name) for name in IDENTITY[1:]}
    live.log(step=0, metrics=metrics, child=child, seconds=seconds)


def _one_per_seed(runs: list[RunSettings]) -> list[RunSettings]:
    """Return a run of each seed: runs of one seed start from the same weights."""
    return list({run.seed: run for run in runs}.values())


if __name__ == "__main__":
    main()
    process.leave()

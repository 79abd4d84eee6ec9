"""Train one model of params.yaml, once per seed: data/arrays -> models/<model>/, and a run in MLflow."""

import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from stages.core import model_folder, process, progress, timing
from stages.core.data.mnist import Digits, InvalidData, load_arrays
from stages.core.engine import network
from stages.core.engine.descent import Descent, Epoch
from stages.core.files import error_line, replacing, write_json
from stages.core.mirror import tracking
from stages.core.parallel import cluster
from stages.core.parallel.dispatch import RunsFailed
from stages.core.parallel.replicates import train_replicates
from stages.core.params import Params, read_params_or_exit
from stages.core.settings import Model


def main() -> None:
    """`python -m stages.train <model>`."""
    process.end_with_parent()
    params = read_params_or_exit()
    name = _model_named(sys.argv[1:], params)
    folder = Path("models") / name
    try:
        digits = load_arrays()
        with process.interruptible(), process.sole_writer(folder), tracking.live(params, name) as run:
            started = datetime.now(UTC)
            descents = train(params, name, digits, run.epoch)
            clock = timing.timing(params.train.seeds, descents, started, digits)
            metrics = write(folder, params, name, digits, descents)
            write_json(folder / "timing.json", clock)
            run.complete(folder)
    except (InvalidData, process.Busy, cluster.ClusterUnavailable, RunsFailed) as error:
        sys.exit(str(error))
    except OSError as error:  # a full disk, say; nothing that was on it before is lost
        sys.exit(error_line(error))
    print(_summary(metrics, clock["seconds"]))


def train(params: Params, name: str, digits: Digits, on_epoch: Callable[[int, Epoch], None]) -> list[Descent]:
    """The descents of all seeds, in the order of train.seeds; each epoch is heard of and shown as it ends."""
    settings, epochs, seeds = params.models[name], params.train.epochs, params.train.seeds
    images = len(digits.train.labels)
    with cluster.connect() as client, progress.bar(name, epochs * len(seeds), images) as bar:

        def heard(seed: int, epoch: Epoch) -> None:
            on_epoch(seed, epoch)
            bar.set_postfix_str(
                f"seed {seed}, epoch {epoch.epoch}, loss {epoch.train_loss:.4g}", refresh=False
            )
            bar.update(min(epoch.epoch, 1))  # nothing has been learned from in epoch 0

        return train_replicates(client, settings, epochs, seeds, digits, heard)


def write(folder: Path, params: Params, name: str, digits: Digits, descents: Sequence[Descent]) -> dict:
    """Write all of models/<model>/ that no clock shows in; the content of metrics.json is returned."""
    settings, seeds = params.models[name], params.train.seeds
    metrics = model_folder.write_numbers(folder, name, settings, len(digits.train.labels), seeds, descents)
    write_models(folder, settings, seeds, descents, metrics["best_seed"])
    return metrics


def write_models(
    folder: Path, settings: Model, seeds: Sequence[int], descents: Sequence[Descent], best_seed: int
) -> None:
    """Write each seed's model as replicates/seed_<seed>.keras, and the best one once more as model.keras."""
    for seed, descent in zip(seeds, descents, strict=True):
        model = network.build(settings, seed)
        model.set_weights(descent.weights)
        network.save(model, folder / "replicates" / f"seed_{seed}.keras")
    with replacing(folder / "model.keras") as temporary:
        shutil.copyfile(folder / "replicates" / f"seed_{best_seed}.keras", temporary)


def _model_named(arguments: Sequence[str], params: Params) -> str:
    if len(arguments) == 1 and arguments[0] in params.models:
        return arguments[0]
    given, accepted = " ".join(arguments), ", ".join(params.models)
    print(f"stages.train: {given!r} is not accepted; accepted: one of {accepted}", file=sys.stderr)
    raise SystemExit(2)


def _summary(metrics: dict, seconds: float) -> str:
    accuracies = [run["validation_accuracy"] or 0 for run in metrics["seeds"]]
    return (
        f"{metrics['model']}: {metrics['status']}, validation accuracy {min(accuracies):.2%} to "
        f"{max(accuracies):.2%} over {len(accuracies)} seeds, in {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
    process.leave()

"""The descents of each study as tables: their paths in a plane of weight space, and the loss over it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from stages.core.data.mnist import Split
from stages.core.engine.sampling import evenly
from stages.core.params import Params
from stages.core.report.comparison import Result
from stages.core.report.frames import Frame, around, regions
from stages.core.report.landscape import Plane, farthest, principal_plane, project, surface
from stages.core.report.method import layers, one_shape
from stages.core.report.perceptron import pixels

IMAGES = 500
"""So many training images the loss is computed on: enough for its shape, few enough to take seconds."""

COLUMNS = 24
"""Points of a frame's grid from left to right."""

SHORT = 1 / 8
"""A path that leads less far than this share of the longest is shown once more, magnified."""

PATHS = ("study", "frame", "model", "epoch", "x", "y", "held")
SURFACE = ("study", "frame", "region", "corner", "loss", "x", "y")


def survey(
    params: Params, results: Mapping[str, Result], paths: Mapping[str, np.ndarray], training: Split
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables PATHS and SURFACE, from each model's path (epochs + 1, weights) through weight space.

    Frame 0 shows all paths in the plane of their principal directions. Frame 1, where there are paths
    too short to be seen in it, shows their surroundings, in the plane that holds most of all paths
    when each is measured by its own length. `held` is the share of the squared way from the start
    that lies in the plane. A study has no rows if its models are networks of different shapes, or if
    all of them diverged: they span no plane.
    """
    with threadpool_limits(1):  # the bits of a product of matrices depend on the number of threads
        found = [
            _of_study(results, {model: paths[model] for model in study.models}, training, name)
            for name, study in params.studies.items()
            if one_shape([params.models[model] for model in study.models])
        ]
    ways, surfaces = ([tables[place] for tables in found if tables] for place in (0, 1))
    return (
        pd.concat(ways) if ways else pd.DataFrame(columns=PATHS),
        pd.concat(surfaces) if surfaces else pd.DataFrame(columns=SURFACE),
    )


def _of_study(
    results: Mapping[str, Result], paths: Mapping[str, np.ndarray], training: Split, study: str
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    spanning = [model for model in paths if results[model].metrics["status"] != "diverged"]
    if not spanning:
        return None
    settings = results[spanning[0]].settings
    images, labels = evenly(training, IMAGES)
    x = pixels(images, np.float64)
    ways, surfaces = [], []
    for number, (plane, framed) in enumerate(_views({model: paths[model] for model in spanning})):
        frame = around(np.concatenate([project(plane, paths[model]) for model in framed]))
        loss = surface(plane, *frame.grid(COLUMNS), x, labels, layers(settings), settings.activation)
        surfaces.append(_rounded(regions(frame, loss), frame).assign(frame=number))
        ways += [_way(plane, path).assign(model=model, frame=number) for model, path in paths.items()]
    tables = (pd.concat(ways).assign(study=study), pd.concat(surfaces).assign(study=study))
    return tables[0][list(PATHS)], tables[1][list(SURFACE)]


def _views(paths: Mapping[str, np.ndarray]) -> list[tuple[Plane, list[str]]]:
    """The planes to look at, each with the models whose paths fill the frame: all, then the short ones."""
    far = {model: farthest(path.astype(np.float64) - path[0]) for model, path in paths.items()}
    short = [model for model in paths if far[model] < SHORT * max(far.values())]
    views = [(principal_plane(list(paths.values())), list(paths))]
    return [*views, (principal_plane(list(paths.values()), equal=True), short)] if short else views


def _way(plane: Plane, path: np.ndarray) -> pd.DataFrame:
    way, steps = project(plane, path), path.astype(np.float64) - plane.origin
    with np.errstate(invalid="ignore", divide="ignore"):
        held = (way**2).sum(axis=1) / (steps**2).sum(axis=1)
    return pd.DataFrame(
        {
            "epoch": range(len(way)),
            "x": map(_short, way[:, 0]),
            "y": map(_short, way[:, 1]),
            "held": held.round(4),
        }
    )


def _short(value: float, digits: int = 6) -> float:
    """So many digits: a product of matrices differs in the last ones from one machine to another."""
    return float(f"{value:.{digits}g}")


def _rounded(table: pd.DataFrame, frame: Frame) -> pd.DataFrame:
    """Corners to a two-thousandth of the frame's width: finer than can be seen."""
    unit = (frame.right - frame.left) / 2000
    return table.assign(
        x=((table.x / unit).round() * unit).map(_short),
        y=((table.y / unit).round() * unit).map(_short),
        loss=table.loss.map(lambda loss: _short(loss, 9)),  # a stalled run's surroundings are all but flat
    )

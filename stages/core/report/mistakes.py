"""What the best model gets wrong on the test images: which digits it takes for which, and the worst of
them.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from stages.core.data.mnist import CLASSES

SHOWN = 12
"""So many of the worst mistakes are listed."""


def of_each(
    table: Callable[[np.ndarray, np.ndarray], pd.DataFrame],
    probabilities: Mapping[str, np.ndarray],
    labels: np.ndarray,
) -> pd.DataFrame:
    """`confusion` or `worst` of every model, with the model as the first column."""
    tables = [table(found, labels).assign(model=model) for model, found in probabilities.items()]
    whole = pd.concat(tables, ignore_index=True)
    return whole[["model", *whole.columns.drop("model")]]


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """How many test images of each `digit` are read as which: 100 rows, from probabilities (n, 10)."""
    counts = np.zeros((CLASSES, CLASSES), dtype=int)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    digit, read_as = np.divmod(np.arange(CLASSES**2), CLASSES)
    return pd.DataFrame({"digit": digit, "read_as": read_as, "images": counts.ravel()})


def worst(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """The wrongly read test images whose right digit got the lowest probability, the worst first.

    `image` is the row in the test file, `probability` what the wrong digit got.
    """
    right = probabilities[np.arange(len(labels)), labels]
    read_as = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(read_as != labels)
    chosen = wrong[np.argsort(right[wrong], kind="stable")][:SHOWN]
    return pd.DataFrame(
        {
            "image": chosen,
            "digit": labels[chosen],
            "read_as": read_as[chosen],
            "probability": probabilities[chosen, read_as[chosen]].astype(float).round(4),
        }
    )

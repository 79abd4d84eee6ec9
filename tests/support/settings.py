"""Settings of training runs."""

from descent.config import Model
from descent.engine.settings import RunSettings


def run_settings(
    batch_size: int | str = 8, *, epochs: int = 1, seed: int = 0, images: int = 600, **model
) -> RunSettings:
    """Make the settings of a run on `images` training images; `model` has keys of a model in params.yaml."""
    given = {"batch_size": batch_size, "learning_rate": 0.05} | model
    return Model(**given).run_settings(images, epochs, seed)

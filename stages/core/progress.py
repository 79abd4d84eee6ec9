"""How far a stage has come, in a terminal."""

from tqdm import tqdm


def bar(title: str, epochs: int, images: int) -> tqdm:
    """A progress bar that counts `images` an epoch; quiet where there is no terminal."""
    return tqdm(desc=title, total=epochs, unit=" images", unit_scale=images, disable=None)

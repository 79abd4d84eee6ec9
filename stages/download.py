"""Get the files of the dataset that params.yaml names into data/raw/ and verify them.

DVC runs this stage after every edit of params.yaml: what cannot work is rejected here, before any output
of a later stage is removed.
"""

from descent import data, fetch, paths
from descent.config import read_params
from descent.errors import in_one_line


@in_one_line()
def main() -> None:
    """Run the stage."""
    params = read_params()
    description = fetch.obtain(params.data, params.dataset, paths.RAW, fetch.configured_source())
    data.draw_rows(data.read_raw(description), description, **dict(params.preprocess))


if __name__ == "__main__":
    main()

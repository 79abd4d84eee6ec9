"""Make the page to play with: data/, models/, comparison.csv and rates.json -> reports/explorer.html."""

from descent import paths, process, sweep
from descent.config import read_params, with_tuned
from descent.data import load_dataset
from descent.errors import in_one_line
from descent.explorer.content import content
from descent.explorer.page import page
from descent.files import write_text
from descent.report import tables


@in_one_line()
def main() -> None:
    """Run the stage."""
    params = with_tuned(read_params())
    dataset = load_dataset()
    with process.interruptible():
        comparison = tables.read_table(paths.COMPARISON)
        text = page(content(params, dataset, comparison, sweep.open_cache(dataset)))
        write_text(paths.EXPLORER, text)
    print(f"{paths.EXPLORER}: {len(text.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

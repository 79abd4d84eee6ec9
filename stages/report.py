"""Compare the models: models/, data/arrays, reports/sweep.csv and rates.json -> reports/."""

from descent import paths, process
from descent.config import read_params, with_tuned
from descent.data import load_dataset
from descent.errors import in_one_line
from descent.report import render, tables


@in_one_line()
def main() -> None:
    """Run the stage."""
    params = with_tuned(read_params())
    dataset, results = load_dataset(), tables.read_results(params)
    with process.interruptible():
        for folder in tables.remove_other_results(params):
            print(f"{folder}: removed, as the model is not in {paths.PARAMS}")
        sweep = tables.read_table(paths.SWEEP_TABLE)
        tables.write_tables(tables.compute(params, results, dataset, sweep))
        written = tables.read_tables()  # what is said and drawn comes from the files
        render.write_report(render.Report(params, written, dataset))


if __name__ == "__main__":
    main()

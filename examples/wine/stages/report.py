"""Compare the models: models/ -> reports/."""

import json
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML

models = YAML(typ="safe").load(Path("params.yaml"))["models"]
found = {name: json.loads(Path("models", name, "metrics.json").read_text())["seeds"] for name in models}
means = pd.Series({name: pd.DataFrame(runs).accuracy.mean() for name, runs in found.items()})
rows = "".join(f"| {name} | {models[name]['learning_rate']} | {mean:.1%} |\n" for name, mean in means.items())
Path("reports").mkdir(exist_ok=True)
Path("reports/metrics.json").write_text(json.dumps(means.to_dict()))
Path("reports/report.md").write_text(
    f"# Learning rates on the wine table\n\n{means.idxmax()} is best.\n\n"
    f"| model | learning rate | validation accuracy |\n|---|---|---|\n{rows}"
)

"""Train a model of params.yaml once per seed: data/wine.csv -> models/<model>/."""

import json
import sys
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import train_test_split

name = sys.argv[1]
params = YAML(typ="safe").load(Path("params.yaml"))  # as DVC reads it
table = pd.read_csv("data/wine.csv")
history, runs = [], []
for seed in params["seeds"]:
    train, validation = train_test_split(table, test_size=0.3, stratify=table.target, random_state=seed)
    model = GradientBoostingClassifier(
        n_estimators=params["trees"], random_state=seed, **params["models"][name]
    ).fit(train.drop(columns="target"), train.target)
    for trees, predicted in enumerate(model.staged_predict(validation.drop(columns="target")), start=1):
        history.append({"seed": seed, "trees": trees, "accuracy": (predicted == validation.target).mean()})
    runs.append({"seed": seed, "accuracy": history[-1]["accuracy"]})
folder = Path("models", name)
folder.mkdir(parents=True, exist_ok=True)
pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
(folder / "metrics.json").write_text(json.dumps({"seeds": runs}))

"""Small DVC repositories of several shapes, made by DVC itself, that the tests mirror."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MISLEADING = ("DVC_", "MLFLOW_", "GIT_", "PYTHON")


def environment(folder: Path) -> dict[str, str]:
    """A clean environment: nothing of DVC's, MLflow's or git's is inherited, and the user has a name."""
    held = {key: value for key, value in os.environ.items() if not key.startswith(MISLEADING)}
    (folder / "home").mkdir(exist_ok=True)
    (folder / "home/.gitconfig").write_text(
        "[user]\nname = Tester\nemail = tester@example.org\n[init]\ndefaultBranch = main\n"
    )
    return held | {
        "HOME": str(folder / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{held['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "DVC_NO_ANALYTICS": "1",
    }


@dataclass
class Repository:
    """A repository on disk, and the environment in which its commands run."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, expect: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the repository."""
        environment = self.environment | more
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def mirror(self, *arguments: str, expect: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run dvc-mlflow in a process of its own."""
        return self.run("python", "-m", "dvc_mlflow", *arguments, expect=expect, **more)

    def write(self, files: dict[str, str]) -> None:
        """Write text files."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file, which must hold it."""
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        (self.folder / name).write_text(text.replace(old, new), encoding="utf-8")

    def commit(self) -> str:
        """Commit everything; the commit."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "work")
        return self.run("git", "rev-parse", "HEAD").stdout.strip()

    def copied(self, folder: Path) -> "Repository":
        """A copy elsewhere, with DVC's cache."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Repository(folder, dict(self.environment))


def make(folder: Path, files: dict[str, str]) -> Repository:
    """Make a repository of these files, run its pipeline and commit it."""
    folder.mkdir(parents=True)
    repository = Repository(folder, environment(folder.parent))
    repository.run("git", "init", "-q")
    repository.run("dvc", "init", "-q")
    ignored = "/mlflow.db*\n/mlartifacts/\n/mlserver/\n__pycache__/\n"
    repository.write({".gitignore": ignored, **files})
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "begin")
    repository.run("dvc", "repro", "-q", "-P")
    repository.commit()
    return repository


GET_STARTED = {
    "params.yaml": "prepare:\n  split: 0.20\n  seed: 20170428\ntrain:\n  n_est: 50\n  min_split: 1e-2\n",
    "prepare.py": "import pathlib; pathlib.Path('data/split').mkdir(parents=True, exist_ok=True)\n"
    "pathlib.Path('data/split/train.csv').write_text('a,b\\n1,2\\n')\n",
    "train.py": "import pathlib; pathlib.Path('model.pkl').write_bytes(b'weights')\n",
    "evaluate.py": """
import csv, json, pathlib
folder = pathlib.Path('eval/plots'); folder.mkdir(parents=True, exist_ok=True)
pathlib.Path('eval/metrics.json').write_text(json.dumps(
    {'avg_prec': {'train': 0.97, 'test': 0.92}, 'roc_auc': {'test': float('nan')}, 'verdict': 'good', 'note': None}))
(folder / 'roc.json').write_text(json.dumps({'roc': [{'fpr': 0.0, 'tpr': 0.0}, {'fpr': 0.5, 'tpr': 0.9}]}))
(folder / 'loss.csv').write_text('epoch,loss,lr\\n0,1.5,0.1\\n1,0.5,0.1\\n2,inf,0.1\\n')
(folder / 'importance.png').write_bytes(b'\\x89PNG picture')
""",
    "dvc.yaml": """
stages:
  prepare:
    cmd: python prepare.py
    deps: [prepare.py]
    params: [prepare.seed, prepare.split]
    outs: [data]
  train:
    cmd: python train.py
    deps: [train.py, data]
    params: [train]
    outs: [model.pkl]
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, model.pkl, data]
    outs: [eval]
metrics:
  - eval/metrics.json
plots:
  - ROC:
      x: fpr
      y: {eval/plots/roc.json: tpr}
  - eval/plots/loss.csv:
      x: epoch
      y: loss
  - eval/plots/importance.png
""",
}
"""In the form of DVC's get-started: metrics and plots at the top level, one folder of outputs."""

MATRIX = {
    "params.yaml": "models: {small: {width: 8}, large: {width: 64}}\n",
    "train.py": """
import json, pathlib, sys
model, seed = sys.argv[1], int(sys.argv[2])
folder = pathlib.Path('out', f'{model}-{seed}'); folder.mkdir(parents=True, exist_ok=True)
(folder / 'metrics.yaml').write_text(f'score: {0.5 + seed / 10}\\nstate: fine\\n')
(folder / 'steps.tsv').write_text('step\\tscore\\n0\\t0.1\\n10\\t0.2\\n')
""",
    "dvc.yaml": """
stages:
  train:
    matrix:
      model: [small, large]
      seed: [0, 1]
    cmd: python train.py ${item.model} ${item.seed}
    deps: [train.py]
    params: ["models.${item.model}"]
    metrics: ["out/${item.model}-${item.seed}/metrics.yaml"]
    plots:
      - out/${item.model}-${item.seed}/steps.tsv:
          x: step
""",
}
"""A matrix of stages, with YAML metrics and a tab-separated curve."""

SUBFOLDERS = {
    "params.yaml": "rate: 0.1\nname: first\n",
    "train/params.toml": "rate = 0.2\n[net]\nwidth = 8\n",
    "train/config.py": "DEPTH = 3\n",
    "train/train.py": """
import json, pathlib
for split, loss in (('train', 0.2), ('test', 0.4)):
    folder = pathlib.Path('live/plots/metrics', split); folder.mkdir(parents=True, exist_ok=True)
    (folder / 'loss.tsv').write_text(f'step\\tloss\\n0\\t1.0\\n1\\t{loss}\\n')
    pathlib.Path(split).mkdir(exist_ok=True)
    pathlib.Path(split, 'scores.json').write_text(json.dumps({'score': loss, 'kind': split}))
    pathlib.Path(split, 'history.csv').write_text(f'\\ufeffepoch,norm\\n0,{loss}\\n')
pathlib.Path('live/metrics.json').write_text(json.dumps({'train': {'loss': 0.2}, 'test': {'loss': 0.4}, 'step': 1}))
""",
    "prepare/dvc.yaml": """
stages:
  prepare:
    wdir: ..
    cmd: mkdir -p data && cp params.yaml data/table.csv
    deps: [params.yaml]
    outs: [data/table.csv]
""",
    "train/dvc.yaml": """
vars: [{folder: live}]
stages:
  train:
    cmd: python train.py
    deps: [train.py, ../data]
    params: [{../params.yaml: [rate, name]}, {params.toml: [rate, net]}, {config.py: [DEPTH]}]
    outs: ["${folder}/plots"]
    metrics: ["${folder}/metrics.json": {cache: false}, train/scores.json: {cache: false}, test/scores.json]
    plots: [train/history.csv, test/history.csv]
plots:
  - live/plots/metrics: {x: step}
  - live/plots
""",
}
"""Several dvc.yaml in subfolders, parameters in files of three kinds, DVCLive's files, equal names in several files."""

PLAIN = {
    "words.txt": "one two three\n",
    "dvc.yaml": """
stages:
  count:
    cmd: wc -w < words.txt > count.txt
    deps: [words.txt]
    outs: [count.txt]
  shout:
    cmd: tr a-z A-Z < count.txt > shout.txt
    deps: [count.txt]
    outs:
      - shout.txt:
          cache: false
""",
}
"""No stage has parameters, metrics or plots."""

TRAIN = """
import csv, json, os, pathlib, sys, time, zipfile
import dvc_mlflow
name = sys.argv[1]
params = {line.split(':')[0].strip(): line.split(':')[1].strip() for line in open('params.yaml') if line.startswith('    ')}
rate = float(open('params.yaml').read().split(f'{name}:')[1].split('rate:')[1].split()[0])
folder = pathlib.Path('models', name); folder.mkdir(parents=True, exist_ok=True)
rows, seeds = [], []
with dvc_mlflow.live(f'train@{name}') as run:
    for seed in (0, 1):
        for epoch in range(4):
            accuracy = round(1 - 1 / (1 + rate * epoch + seed), 6) + 1e-12
            loss = 1 / (1 + epoch) if rate < 50 or epoch == 0 else float('nan')
            rows.append((seed, epoch, round(accuracy, 6), loss))
            run.log(step=epoch, metrics={'accuracy': accuracy, 'loss': loss}, child={'seed': seed})
            time.sleep(float(os.environ.get('SLOWLY', '0')))
        seeds.append({'seed': seed, 'status': 'diverged' if rate > 50 else 'learned', 'accuracy': round(accuracy, 6),
                      'test_accuracy': round(accuracy / 2, 6), 'loss': None if rate > 50 else loss})
    with open(folder / 'history.csv', 'w', newline='') as file:
        csv.writer(file).writerows([('seed', 'epoch', 'accuracy', 'loss'), *((s, e, a, '' if l != l else l) for s, e, a, l in rows)])
    metrics = {'model': name, 'status': seeds[0]['status'], 'updates': 12, 'seeds': seeds}
    (folder / 'metrics.json').write_text(json.dumps(metrics))
    layers = [{'class_name': 'InputLayer', 'config': {'batch_shape': [None, 28, 28], 'dtype': 'uint8'}},
              {'class_name': 'Dense', 'config': {'units': 10}}]
    with zipfile.ZipFile(folder / 'model.keras', 'w') as archive:
        for entry, content in (('metadata.json', {'keras_version': '3.0'}), ('config.json',
                               {'class_name': 'Sequential', 'config': {'layers': layers, 'rate': rate}})):
            archive.writestr(zipfile.ZipInfo(entry), json.dumps(content))
"""

SWEEP = """
import itertools
with open('sweep.csv', 'w') as file:
    print('batch_size,learning_rate,accuracy,seconds,status', file=file)
    for batch, rate in itertools.product((8, 128, 'full'), (1e-07, 0.1, 1)):
        print(f'{batch},{rate!r},{0.5 + float(rate) / 4},2.5,learned', file=file)
"""

EXAMPLE = {
    "params.yaml": "models:\n  slow:\n    rate: 0.1\n  fast:\n    rate: 1.0\n  wild:\n    rate: 100\n",
    "data.txt": "pixels\n",
    "prepare.py": "import pathlib, shutil; pathlib.Path('data').mkdir(exist_ok=True); shutil.copy('data.txt', 'data/train.txt')\n",
    "train.py": TRAIN,
    "sweep.py": SWEEP,
    "dvc.yaml": """
stages:
  prepare:
    cmd: python prepare.py
    deps: [prepare.py, data.txt]
    outs: [data]
    meta: {mlflow: false}
  train:
    foreach: ${models}
    do:
      cmd: exec python train.py ${key}
      deps: [train.py, data]
      params: ["models.${key}"]
      outs: ["models/${key}/history.csv", "models/${key}/metrics.json", "models/${key}/model.keras"]
      meta:
        mlflow:
          experiment: digits
          description: "The model ${key}."
          metrics: {file: "models/${key}/metrics.json", per: {list: seeds, key: seed}}
          curves: {file: "models/${key}/history.csv", step: epoch, run_per: seed}
          names: {accuracy: accuracy/validation, test_accuracy: accuracy/test, status: outcome}
          artifacts: ["models/${key}/metrics.json"]
          datasets:
            - {path: data/train.txt, name: Training pixels, context: training}
          model:
            file: "models/${key}/model.keras"
            flavour: keras
            register: digits
            alias: champion
            best: {metric: accuracy, require: {status: learned}}
            description: Pixels in, probabilities out.
          views:
            Answers:
              columns: [params.rate, metrics.accuracy/validation, tags.outcome]
              sort: metrics.accuracy/validation
              filter: tags.in_dvc_lock = 'yes'
              charts: [{bar: accuracy/validation}, {line: accuracy/validation, log: true}]
  sweep:
    cmd: python sweep.py
    deps: [sweep.py]
    outs:
      - sweep.csv:
          cache: false
    meta:
      mlflow:
        experiment: sweep
        rows:
          file: sweep.csv
          params: [batch_size, learning_rate]
          seconds: seconds
          log: {learning_rate: 10}
""",
}
"""In the form of this project: models with seeds, a served model, a sweep."""
MODELS = ("slow", "fast", "wild")

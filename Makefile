# `make` prints the targets. The first one that needs .venv sets it up, from the versions in requirements.txt.

VENV := .venv
INSTALLED := $(VENV)/installed

# The first of these that runs and that requirements.txt is resolved for; `make PYTHON=/path/to/python run` decides.
SUPPORTED := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
  $$python -I -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)

# Nothing inherited decides which shell, Python, modules or repository the recipes use. DVC fails for an account
# without a name, as in containers.
export SHELL := /bin/sh
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export LOGNAME := $(or $(LOGNAME),$(USER),$(firstword $(shell id -un 2>/dev/null || id -u)))
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONSTARTUP PYTHONOPTIMIZE PYTHONDONTWRITEBYTECODE
unexport PYTHONINSPECT PYTHONPLATLIBDIR PYTHONUSERBASE PYTHONWARNINGS PYTHONEXECUTABLE
unexport GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_COMMON_DIR GIT_OBJECT_DIRECTORY GIT_NAMESPACE

.PHONY: help run test check test-all notebook ui server bench verify lock repository stale

help:
	@sed -n 's/^\([a-z-]*\):.*## /make \1#/p' Makefile | awk -F'#' '{ printf "%-15s %s\n", $$1, $$2 }'

run: $(INSTALLED) ## run the whole experiment: download, train, sweep, report, log to MLflow
	@python -m descent check --quick
	@dvc repro
	@python -m dvc_mlflow sync; code=$$?; python -m descent show; exit $$code

check: $(INSTALLED) ## lint, types and the quick unit tests: about a minute on two cores
	@ruff check .
	@ruff format --check .
	@mypy
	@pytest tests/unit -m "not slow"

test: $(INSTALLED) ## what a pull request must pass: lint, types, unit and pipeline tests
	@ruff check .
	@ruff format --check .
	@mypy
	@pytest tests/unit tests/pipeline

test-all: test ## test, then the rest: faults, kills, environments, every Python that is found
	@pytest --ignore tests/unit --ignore tests/pipeline

notebook: $(INSTALLED) ## open reports/solutions.ipynb in Jupyter Lab
	@JUPYTER_PREFER_ENV_PATH=1 jupyter lab reports/solutions.ipynb

ui: $(INSTALLED) ## browse the runs in MLflow, on this machine
	@python -m dvc_mlflow ui

server: $(INSTALLED) ## serve MLflow over PostgreSQL, for several people
	@python -m dvc_mlflow server

bench: $(INSTALLED) ## measure the training engine beside Keras and NumPy (PyTorch and JAX too, where they are installed)
	@python -m benchmarks
	@python -m benchmarks.scheduling
	@python -m benchmarks.stage

verify: $(INSTALLED) ## run the pipeline again in a fresh clone and compare every hash
	@python -m descent verify

lock: $(INSTALLED) ## resolve requirements.in into requirements.txt; LOCK=--upgrade for the latest versions
	@$(UV) pip compile --quiet --no-header --universal --fork-strategy fewest --python-version 3.11 \
	  --generate-hashes $(LOCK) requirements.in -o requirements.txt

# DVC needs git, and says so late and less clearly.
repository:
	@command -v git >/dev/null || { \
	  echo "git is missing: apt-get install git (Debian), brew install git (macOS)" >&2; exit 1; }
	@why=$$(LC_ALL=C git rev-parse --git-dir 2>&1) || { case "$$why" in \
	    *safe.directory*) \
	      echo "this folder belongs to another user: git config --global --add safe.directory '$$PWD'" ;; \
	    *"not a git repository (or"*) echo "this folder is not a git repository, which DVC needs: git init" ;; \
	    *"not a git repository:"*) echo "git: $$why; where that was moved, git worktree repair helps, else a new clone" ;; \
	    *) echo "git: $$why" ;; esac >&2; exit 1; }

# $(INSTALLED) names the folder and the Python that .venv was made for. A folder that was moved, another PYTHON or one
# that is gone makes .venv anew; an interrupted set-up leaves no such file.
# With an empty $(INSTALLED), this check is skipped.
MADE_FOR := import os, sys; print(ascii(os.getcwd()), sys.version_info[:2])
CHOSEN := $(VENV)/bin/python $(if $(filter command environment,$(firstword $(origin PYTHON))),'$(PYTHON)')
STALE := $(shell test ! -s $(INSTALLED) || for python in $(CHOSEN); do \
  "$$python" -I -c '$(MADE_FOR)' 2>/dev/null | cmp -s - $(INSTALLED) || { echo stale; break; }; done)

# uv installs in a fraction of pip's time; what it cannot do with pip's settings (a keyring, say), pip does.
UV := $(VENV)/bin/python -I descent/packages.py uv
PIP := $(VENV)/bin/python -I descent/packages.py pip install --quiet --no-deps
$(INSTALLED): requirements.txt pyproject.toml $(STALE) | repository
	@{ test -z '$(STALE)' && cmp -s requirements.txt $(VENV)/requirements.txt; } || { \
	  '$(PYTHON)' -I -c '$(SUPPORTED)' 2>/dev/null || { \
	    echo "Python 3.11, 3.12 or 3.13 with venv is needed, not '$(PYTHON)': make PYTHON=/path/to/python3.12," \
	      "or apt-get install python3-venv (Debian)" >&2; exit 1; }; \
	  echo "Setting up $(VENV) with $$('$(PYTHON)' -V)" && \
	  { test -d $(VENV) || { rm -f $(VENV) && mkdir $(VENV); }; } && \
	  '$(PYTHON)' -m venv "$$(cd $(VENV) && pwd -P)" --clear --without-pip && \
	  $(VENV)/bin/python -I -m ensurepip --default-pip >/dev/null && \
	  sed -n '/^uv==/,/[^\\]$$/p' requirements.txt > $(VENV)/uv.txt && \
	  $(PIP) --require-hashes -r $(VENV)/uv.txt && \
	  { $(UV) pip sync --quiet --python $(VENV)/bin/python --require-hashes requirements.txt || { \
	    echo "uv failed with pip's settings: pip installs the same packages, more slowly" >&2; \
	    $(PIP) --no-compile --require-hashes -r requirements.txt; }; } && \
	  cp requirements.txt $(VENV)/requirements.txt; }
	@$(PIP) --no-build-isolation --editable .
	@$(VENV)/bin/python -I -c '$(MADE_FOR)' > $@

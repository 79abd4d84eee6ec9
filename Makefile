# Everything starts here. The first command sets up .venv; Python 3.11 and make are all it needs.
#   make run     the whole experiment: download, preprocess, train, report, MLflow
#   make test    the tests
#   make ui      MLflow's pages, on this machine
#   make server  MLflow over PostgreSQL, for several people
#   make bench   how fast the descent is, beside others
#   make verify  the whole pipeline again, in a fresh clone, every hash compared
#   make lock    requirements.txt anew from requirements.in

PYTHON ?= python3.11
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: run test ui server bench verify lock

run: $(VENV)/installed
	@python -m stages.ready
	@dvc repro
	@python -m stages.sync; code=$$?; python -m stages.show; exit $$code

test: $(VENV)/installed
	@ruff check .
	@ruff format --check .
	@pytest

ui: $(VENV)/installed
	@python -m stages.ui

server: $(VENV)/installed
	@python -m stages.server

verify: $(VENV)/installed
	@python -m stages.verify

bench: $(VENV)/installed
	@python -m tests.benchmarks
	@python -m tests.benchmarks.scheduling
	@python -m tests.benchmarks.stage

# uv comes first, from the lock as well, and then installs the rest in a fraction of pip's time.
$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Python 3.11 is needed; say where it is: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.txt > $(VENV)/uv.txt
	pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	uv pip sync --quiet --compile-bytecode --python $(VENV)/bin/python --require-hashes requirements.txt
	@touch $@

lock: $(VENV)/installed
	uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes requirements.in -o requirements.txt

# `make run` and `make test` do all the set-up on a fresh machine; PYTHON chooses the interpreter (3.11 or later).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run results test lint slow faults catalogue docs docs-blocks clean

run: $(VENV)/.installed
	$(BIN)/bcos-eval run --model bcos_resnet50 --metric grid_pg

# The leaderboards that results/README.md reads, into runs/; hours, resumable. Photographs: BCOS_EVAL_DATA=PATH/TO/DATA.
results: $(VENV)/.installed
	for config in shapes shapes_trigger tiny_imagenet20 imagenette; do \
	  $(BIN)/bcos-eval run --config results/$$config.toml || exit $$?; \
	done
	for config in imagenet_val imagenet_val_protocols imagenet_val_boxes; do \
	  $(BIN)/bcos-eval run --config results/$$config.toml --data-dir "$$BCOS_EVAL_DATA/imagenet-val" || exit $$?; \
	done

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --maxprocesses 4 --dist worksteal -m "not slow"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Checks that take minutes: full-size networks, long statistics.
slow: $(VENV)/.installed-dev
	$(BIN)/pytest -q -m slow

# Attacks on stored results and running processes, all of them; the normal tests have the small ones.
faults: $(VENV)/.installed-dev
	$(BIN)/pytest -q tests/faults

# What is registered, written down so that lists and refusals need not load torch.
catalogue: $(VENV)/.installed
	$(BIN)/python -m bcos_eval.cli.catalogue

# The pages of docs/ as a site in build/site; a warning is an error.
docs: $(VENV)/.installed-docs
	$(BIN)/mkdocs build --strict

# Tables and files that README and docs/ show, made anew from results/, model cards and registries.
docs-blocks: $(VENV)/.installed
	$(BIN)/python docs/traced.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# Reinstalled when the dependencies change.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info

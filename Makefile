# `make demo` and `make test` need only Python >= 3.11 and make; all dependencies are installed into .venv, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
CONSTRAINTS_VENV := build/constraints-venv
PARALLEL := -n logical --maxprocesses 8 --dist loadscope --no-loadscope-reorder --max-worker-restart 0
CHECKED := maths tasks models losses optim phases storage experiment repository analysis/structure

.DEFAULT_GOAL := help
.PHONY: docs help demo sweep-demo test check versions lint format bench constraints clean distclean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: $(READY) ## Train a small network through grokking, analyze every checkpoint, write reports/demo.html
	@$(BIN)/grokinterp demo

sweep-demo: $(READY) ## Train a sweep of 24 small networks (some minutes), write its database and its page reports/boundary.html
	@$(BIN)/grokinterp sweep examples/boundary.toml --out sweeps/boundary
	@$(BIN)/grokinterp sweep-report sweeps/boundary --out reports/boundary.html --db sweeps/boundary.db

test: $(READY) ## Run the whole test suite, test modules in parallel
	@$(PYTEST) $(PARALLEL)

check: lint ## Run lint and the fast tests (90 seconds): maths to experiment, repository, analysis/structure
	@$(PYTEST) $(PARALLEL) -m "not slow" $(addprefix tests/,$(CHECKED))

versions: ## Run the fast tests on each of Python 3.11, 3.12 and 3.13 that is installed (downloads packages once)
	@.ci/versions $(PARALLEL) -m "not slow" $(addprefix tests/,$(CHECKED))

lint: $(READY) ## Check style, formatting and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/ty check --python $(VENV)

format: $(READY) ## Format the code and apply ruff's automatic fixes
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: $(READY) ## Build the documentation into build/site; a broken link is an error
	@$(BIN)/python -c 'import mkdocs' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]' -c constraints.txt
	@PYTHONPATH=. $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

bench: $(READY) ## Compare run times with published styles of loop (some minutes, on an idle machine)
	@$(BIN)/python -m benchmarks

constraints: ## Update constraints.txt to the newest releases allowed by pyproject.toml
	@rm -rf $(CONSTRAINTS_VENV) && $(PYTHON) -m venv $(CONSTRAINTS_VENV)
	@$(CONSTRAINTS_VENV)/bin/python -m pip install --quiet -e '.[dev,docs,notebooks]' "$$(grep '^torch==' constraints.txt)"
	@$(CONSTRAINTS_VENV)/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' | LC_ALL=C sort -f > constraints.txt

clean: ## Remove caches and build folders (checkpoints/ and reports/ stay)
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv as well
	@rm -rf $(VENV)

$(READY): pyproject.toml constraints.txt
	@[ ! -L $(VENV) ] || { echo "$(VENV) is a link to another folder's environment: remove the link first" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "grokinterp needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1); try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing grokinterp and what it needs into $(VENV): once, some minutes ..."
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@
	@echo "Installed."

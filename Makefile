# Everything a contributor or a CI runs. Needs git, make (GNU 3.81 or newer) and a Python 3.11 or newer;
# the virtual environment .venv and all that goes into it are made here. `make ARGS="-k adopt" test` passes ARGS on.

VENV    := .venv
BIN     := $(VENV)/bin
PYTHON  := $(BIN)/python
PIP     := $(PYTHON) -m pip --quiet --disable-pip-version-check
RUNTIME := $(VENV)/.installed-runtime
DEV     := $(VENV)/.installed-dev
STEPS   := lint types imports test examples docs

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export NO_MKDOCS_2_WARNING := 1

.PHONY: help setup demo test lint format types imports examples docs bench check clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(DEV) ## make .venv with everything for development
	@echo "ready: $(BIN)"

demo: $(RUNTIME) ## start, crash, restart, kill -9, adoption: the main job shown on a real tree
	@$(PYTHON) examples/demo.py

test: $(DEV) ## run the tests
	@$(PYTHON) -m pytest $(ARGS)

lint: $(DEV) ## check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(DEV) ## format the code and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(DEV) ## check types: mypy strict on the packages, pyright strict on everything
	@$(BIN)/mypy
	@$(BIN)/pyright

imports: $(DEV) ## check that imports point downward only
	@$(BIN)/lint-imports --no-logo

examples: $(DEV) ## run every example to its end
	@for script in examples/*.py; do \
	    echo "-- $$script"; \
	    output=$$($(PYTHON) "$$script" 2>&1) || { printf '%s\n' "$$output"; echo "$$script failed"; exit 1; }; \
	done

docs: $(DEV) ## build the documentation into site/; a warning is an error
	@$(BIN)/mkdocs build --strict --quiet

bench: $(DEV) ## run the benchmarks
	@$(PYTHON) tests/benchmarks/run.py $(ARGS)

check: $(DEV) ## all that a change must pass: lint types imports test examples docs
	@passed=; \
	for step in $(STEPS); do \
	    echo; echo "=== $$step"; \
	    start=$$(date +%s); \
	    $(MAKE) --no-print-directory "$$step" ARGS= || { echo; echo "check: $$step FAILED. Passed before it:$${passed:- nothing}"; exit 1; }; \
	    passed="$$passed $$step ($$(($$(date +%s) - start)) s)"; \
	done; \
	echo; echo "check: passed:$$passed"

clean: ## remove what was built and cached; .venv stays
	@rm -rf build dist site .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	@find actors storage supervision_trees tests examples -type d -name __pycache__ -prune -exec rm -rf {} +

# Debian and Ubuntu take ensurepip out of their python3 package, so look for it before it is missed.
$(PYTHON):
	@found=; \
	for python in python3.13 python3.12 python3.11 python3; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    found="$$python"; \
	    "$$python" -c 'import ensurepip, venv' 2>/dev/null || continue; \
	    echo "making $(VENV) with $$("$$python" --version)"; \
	    exec "$$python" -m venv --clear $(VENV); \
	done; \
	if [ -z "$$found" ]; then \
	    echo "found no Python 3.11 or newer on the PATH (looked for python3.13, 3.12, 3.11 and python3)." >&2; \
	    echo "Debian, Ubuntu: sudo apt install python3 python3-venv    macOS: brew install python" >&2; \
	else \
	    version=$$("$$found" -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
	    echo "$$found cannot make a virtual environment: its ensurepip or venv module is missing." >&2; \
	    echo "Debian, Ubuntu: sudo apt install python3-venv    (or $$version-venv, if python3 is another version)" >&2; \
	fi; \
	exit 1

$(RUNTIME): pyproject.toml | $(PYTHON)
	@echo "installing treewarden into $(VENV)"
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install --editable .
	@touch $@

$(DEV): pyproject.toml $(RUNTIME)
	@echo "installing the tools for development into $(VENV)"
	@$(PIP) install --group dev
	@touch $@

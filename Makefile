# `make demo` and `make test` set everything up on a fresh machine: they need Python 3.11 or newer, and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Each command of the tests would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
# Profiles are in tests/conftest.py.
export HYPOTHESIS_PROFILE ?= dev

# Processes for the tests, each with services of its own. Many tests wait, for example for a lease to expire.
WORKERS ?= 2
KILLS ?= 400
SECONDS ?= 60
TARGET ?= urls documents settings journal record answers packed
# Whatever asks how long it may go on.
TORTURE = $(shell grep -rl --include='test_*.py' tests.torture tests)

LOWEST := $(VENV)-lowest
LOWEST_READY := $(LOWEST)/.ready
# One or a few files for each package that pyproject.toml asks for.
LOWEST_TESTS := tests/contract/test_locks.py tests/property/test_completion.py tests/property/test_output.py \
	tests/integration/cinder_handler tests/unit/test_container.py tests/unit/test_inspection.py tests/unit/test_progress.py \
	tests/integration/test_glance_catalog.py tests/integration/test_s3_handler.py tests/integration/test_swift_handler.py \
	tests/unit/unpacking/test_compressed.py tests/unit/test_hashing.py tests/unit/cli/test_completions.py \
	tests/integration/signatures

.PHONY: demo test torture fuzz check docs docs-update lowest man format bench clean

$(READY): pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lading needs Python 3.11 or newer: make PYTHON=python3.x")'
	@echo "Setting up $(VENV) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(LOWEST_READY): pyproject.toml requirements/lowest.txt
	@echo "Setting up $(LOWEST) …"
	@$(PYTHON) -m venv --clear $(LOWEST)
	@$(LOWEST)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --requirement requirements/lowest.txt
	@$(LOWEST)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)  ## the main job on real input
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

test: $(READY)  ## all tests
	@$(BIN)/pytest --numprocesses $(WORKERS) --max-worker-restart 0 --dist loadgroup --no-loadscope-reorder --cov --cov-report= --durations=25
	@$(BIN)/coverage report --include='*/domain/*,*/ports/*' --fail-under=100

torture: $(READY)  ## what `make test` does shortly, at length: KILLS, interrupts, power failures, every crash point, images beside QEMU, laws
	@LADING_TORTURE=$(KILLS) $(BIN)/pytest $(TORTURE)
	@HYPOTHESIS_PROFILE=torture $(BIN)/pytest tests/property

fuzz: $(READY)  ## strangers' bytes, driven by coverage: make fuzz SECONDS=600 TARGET=urls
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --requirement requirements/fuzz.txt
	@for each in $(TARGET); do echo "== $$each"; $(BIN)/python -m tests.fuzz.run $$each $(SECONDS) || exit 1; done

check: $(READY) lowest docs  ## everything that needs no run: style, types, imports, doctests; the site, and the lowest versions
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-timings 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/pytest --quiet --doctest-modules domain ports adapters

docs: $(READY)  ## the documentation site, in build/site: a broken link, a missing anchor or an orphan page fails
	@$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --builder html --doctree-dir build/doctrees docs build/site

docs-update: $(READY)  ## the outputs of commands that README.md and docs/ show, as they are now
	@LADING_PAGES=update $(BIN)/pytest --quiet tests/integration/test_pages.py tests/integration/test_cloud_pages.py tests/integration/rbd/test_page.py
	@git diff --stat README.md docs

# requirements/lowest.txt comes from pyproject.toml (tests/integration/test_packaging.py compares them), by
# uv pip compile --universal --resolution lowest-direct --python-version 3.11 --all-extras --group test --generate-hashes \
#     --no-header --no-annotate pyproject.toml --output-file requirements/lowest.txt, without a file of that name there.
lowest: $(LOWEST_READY)  ## a part of the tests with the lowest version of each package that pyproject.toml allows
	@PYTHONDONTWRITEBYTECODE=1 $(LOWEST)/bin/pytest --quiet -p no:cacheprovider $(LOWEST_TESTS)
	@$(LOWEST)/bin/lading handlers >/dev/null

man: $(READY)  ## the man pages, from what --help prints; they are committed, and the wheel installs them
	@$(BIN)/python docs/man_pages.py docs/man

format: $(READY)
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(READY)  ## the figures, as ratios against named peers
	@for each in bench/*.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done

clean:
	rm -rf $(VENV) $(LOWEST) .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build

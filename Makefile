# `make demo` and `make test` do all the set-up on a fresh Debian or Ubuntu machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --durations 15

.PHONY: setup demo test test-newest fuzz sanitize lint wheel constraints clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt tools/setup.sh
	PYTHON=$(PYTHON) sh tools/setup.sh $(VENV)
	touch $@

demo: setup
	$(BIN)/qgait demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(PYTEST)

# the same tests on the newest Python for which every wheel exists
test-newest:
	$(MAKE) setup VENV=.venv-newest PYTHON=$(or $(NEWEST),python3.13)
	$(MAKE) -o lint test VENV=.venv-newest

# every reader and every option with damaged files and odd values: make fuzz MINUTES=10 SEED=3
MINUTES ?= 10
SEED ?= $(shell date +%s)
fuzz: setup
	OMP_NUM_THREADS=1 sh tests/fuzzing/fuzz.sh $(BIN)/python $(MINUTES) $(SEED)

# the library between guard pages, under sanitizers and valgrind: every processor, a million pushes (about two hours)
sanitize: setup
	OMP_NUM_THREADS=1 $(BIN)/python tests/sanitize.py

# the wheel, the source archive and the bill of materials, the same bytes every time
wheel: setup
	$(BIN)/python tools/build_wheel.py dist

# the newest versions in the ranges of pyproject.toml, as what is tested from now on
constraints:
	$(PYTHON) -m venv .venv-constraints
	.venv-constraints/bin/pip install -q -e '.[dev]'
	{ sed -n '/^#/p' constraints.txt; .venv-constraints/bin/pip freeze --exclude-editable | sed 's/+.*//'; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-constraints

clean:
	rm -rf $(VENV) .venv-newest build dist *.egg-info qgait-demo

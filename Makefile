# Every target sets itself up: the first call makes .venv and installs the tested versions, later calls find it there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check shapes clean

demo: $(READY)
	$(BIN)/striate demo

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

# Every shape and type that a signature promises, held to while the tests of the lower rooms run.
# The checker draws at random which item of a list it looks at, which hypothesis warns of.
shapes: $(READY)
	PYTHONPATH=tests $(BIN)/python -m pytest -m "not plain and not slow" --jaxtyping-packages=striate,hook.checked \
		-W 'ignore:Do not use the `random` module' \
		tests/test_shapes.py tests/ops tests/layers tests/losses tests/metrics tests/augment

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Striate needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache

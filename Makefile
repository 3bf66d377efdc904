# make install   environment in .venv with the exact tested versions (Python 3.11 or newer: make PYTHON=python3.12 install)
# make test      installs, then runs the tests; one file: make test ARGS=tests/test_config.py; long ones: ARGS="-m long"
# make soak      installs, then kills runs and tries bad input for half an hour; more: make soak ARGS="--kills 500"
# make lint      installs, then style and types
# make demo      installs, then trains three versions side by side for a few minutes

PYTHON ?= python3
JOBS ?= 2
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install test soak lint demo

install: $(STAMP)

$(STAMP): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name another one: make PYTHON=python3.11 install" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@# Above 3.12 dm_control is installed alone: it asks for labmaze, which has no build there and is not used here.
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || \
	  $(BIN)/python -m pip install --quiet --no-deps dm_control==1.0.50
	@touch $(STAMP)

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

soak: install
	OMP_NUM_THREADS=1 $(BIN)/python tests/soak/soak.py $(ARGS)

lint: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

demo: install
	$(BIN)/python dreamer.py demo

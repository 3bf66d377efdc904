# make install   environment in .venv with the exact tested versions (Python 3.11 or newer: make PYTHON=python3.12 install)
#                with the SHA-256 of every file checked: make HASHES=cpu install, or HASHES=cuda
# make test      installs, then runs the tests; one file: make test ARGS=tests/config/test_config.py; long tests: ARGS="-m long"
# make soak      installs, then kills runs and tries malformed input for some minutes; more: make soak ARGS="--kills 500"
# make extras    runs the tests of optional packages in their own environment; a skipped test fails
# make newest    runs the tests with the newest versions of all packages, in their own environment
# make lint      installs, then checks style, types and the order of imports between rooms
# make docs      builds the documentation as a site in site/, in its own environment; a broken link fails
# make demo      installs, then trains three versions next to each other for a few minutes

PYTHON ?= python3
JOBS ?= 2
ARGS ?=
HASHES ?=
BIN := .venv/bin
STAMP := .venv/.installed$(HASHES:%=-%)

ifneq ($(filter-out cpu cuda,$(HASHES)),)
  $(error HASHES is cpu, cuda or nothing, not $(HASHES))
endif

.PHONY: install test soak extras newest lint docs demo

install: $(STAMP)

$(STAMP): $(wildcard requirements*.txt)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Name another one: make PYTHON=python3.11 install" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
ifeq ($(HASHES),)
	@$(BIN)/python install_packages.py -r requirements.txt
	@# From Python 3.13 on, dm_control is installed without labmaze, which has no build there and is not used here.
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || \
	  $(BIN)/python -m pip install --quiet --no-deps dm_control==1.0.50
else
	@$(BIN)/python install_packages.py \
	  --require-hashes --no-deps -r requirements-hashes.txt -r requirements-$(HASHES).txt
endif
	@touch .venv/.installed $@

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

soak: install
	OMP_NUM_THREADS=1 $(BIN)/python tests/soak/soak.py $(ARGS)

extras:
	$(PYTHON) -m venv --clear .venv-extras
	.venv-extras/bin/python -m pip install --quiet -r requirements.txt '.[bsuite,crafter,hub,lerobot,memory-maze,minari,minigrid,mp4,notebook,onnx,ray,slurm]'
	@# These need other versions of certifi and Pillow than the tested ones.
	.venv-extras/bin/python -m pip install --quiet '.[mlflow,trackio,tune,wandb]'
	OMP_NUM_THREADS=1 .venv-extras/bin/python -m pytest -n $(JOBS) --no-skips -m "long or not long" -k "not metaworld" \
	  tests/envs/test_suites.py tests/envs/test_contract.py tests/deploy tests/training/test_eval.py tests/training/test_offline.py tests/training/test_initial_weights.py tests/viewer/test_films.py tests/viewer/test_server.py tests/datasets tests/api/test_examples.py tests/storage/test_logger_services.py tests/experiments/test_search_study.py tests/experiments/test_clusters.py tests/training/test_actors_ray.py $(ARGS)

newest:
	$(PYTHON) -m venv --clear .venv-newest
	sed 's/==[^ ;]*//' requirements.txt | .venv-newest/bin/python -m pip install --quiet --upgrade -r /dev/stdin
	.venv-newest/bin/python -m pip list
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

lint: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

.venv-docs/.installed: docs_site/requirements.txt
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

docs: .venv-docs/.installed
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=docs_site .venv-docs/bin/mkdocs build --strict --clean -f docs_site/mkdocs.yml
	@echo "The documentation is in site/index.html. With its search: $(PYTHON) -m http.server -d site"

demo: install
	$(BIN)/python dreamer.py demo

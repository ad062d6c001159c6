# Everything runs in .venv, made from the lock files; `make demo` and `make test` need nothing but Python 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements-dev.lock)
# uv does not read pip's settings: a mirror that is set for pip is told to it here.
UV := $(if $(PIP_INDEX_URL),UV_INDEX_URL=$(PIP_INDEX_URL)) $(BIN)/uv
EXTRAS := --group dev --extra stores --extra registry
# Where it is set each of the tests' processes compiles 280 files anew: unit tests took 84 s with it, 57 s without.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test unit integration slow spark lint docs bench bench-producer bench-demo bench-runtime bench-cdc bench-sinks bench-sagas bench-conflicts chaos chaos-cdc chaos-sagas lock clean
.DEFAULT_GOAL := demo

demo: $(VENV)/runtime.installed ## The whole pipeline on this machine, in half a minute
	$(BIN)/travelos demo $(ARGS)

test: unit integration ## All tests that take minutes, not more; servers are started by the tests themselves

unit: $(VENV)/dev.installed ## Four processes for two cores: a third of the time goes by in waiting for brokers
	$(BIN)/python -m pytest tests/unit -n 4 --dist worksteal $(ARGS)

integration: $(VENV)/dev.installed ## Two processes, each with servers of its own: half of the time goes by in waiting; long files are not left to the end
	$(BIN)/python -m pytest tests/integration -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

slow: $(VENV)/dev.installed ## Every server of deploy/local; two of them are built the first time (some ten minutes, which no test's time limit should hold)
	$(BIN)/travelos local install kafka postgres neo4j elasticsearch influxdb s3 redis
	$(BIN)/python -m pytest tests/integration -m "slow and not alone and not spark" -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)
	$(BIN)/python -m pytest tests/integration -m alone $(ARGS)

spark: $(VENV)/dev.installed ## What Spark reads of the warehouse; it is fetched into the cache folder the first time (half a gigabyte)
	$(BIN)/python -m pytest tests/integration -m spark $(ARGS)

lint: $(VENV)/dev.installed ## Style, types, import rules, drift of generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/travelos schemas check
	$(BIN)/python -m streams.documents --check

docs: $(VENV)/dev.installed ## Write the generated pages and schemas
	$(BIN)/travelos schemas generate
	$(BIN)/python -m streams.documents

bench: bench-producer bench-demo bench-runtime bench-cdc bench-sinks bench-sagas bench-conflicts chaos chaos-cdc chaos-sagas ## All benchmarks; each prints its bars and exits 1 when one is missed

bench-producer: $(VENV)/dev.installed
	$(BIN)/python -m bench.producer $(ARGS)

bench-demo: $(VENV)/dev.installed
	$(BIN)/python -m bench.demo $(ARGS)

bench-runtime: $(VENV)/dev.installed ## Some twenty minutes; ARGS="--only decode --rounds 1" for a part
	$(BIN)/python -m bench.runtime $(ARGS)

bench-cdc: $(VENV)/dev.installed ## Some ten minutes; ARGS="--only stream --rounds 1" for a part
	$(BIN)/python -m bench.cdc $(ARGS)

bench-sinks: $(VENV)/dev.installed ## Rates beside the store's own client, latency, an outage of ten minutes; ARGS="--only neo4j" for the rates of one
	$(BIN)/python -m bench.sinks $(ARGS)

bench-sagas: $(VENV)/dev.installed ## Some four minutes; ARGS="--only latency --seconds 15", ARGS="--only timers" for a part
	$(BIN)/python -m bench.sagas $(ARGS)

bench-conflicts: $(VENV)/dev.installed ## Some two minutes; ARGS="--rate 500 --seconds 10" for another load
	$(BIN)/python -m bench.conflicts $(ARGS)

chaos-sagas: $(VENV)/dev.installed ## All eight stores, servers but for vectors; ARGS="--short" for a part, ARGS="--embedded" for three embedded stores
	$(BIN)/python -m bench.sagas.chaos $(ARGS)

chaos: $(VENV)/dev.installed ## Some 40 minutes; ARGS="--short" takes eight, ARGS="kills --kills 5 --events 20000" a part of it
	$(BIN)/python -m bench.chaos $(ARGS)

chaos-cdc: $(VENV)/dev.installed ## Some five minutes; ARGS="--seed 5 --statements 20000" for a shorter one
	$(BIN)/python -m bench.cdc.convergence $(ARGS)

lock: $(VENV)/dev.installed ## Renew the lock files from pyproject.toml
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		pyproject.toml --output-file requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		pyproject.toml $(EXTRAS) --output-file requirements-dev.lock

clean: ## Remove what the commands above made, the data of the demo included
	@# The data of the embedded Postgres lie elsewhere when its user cannot enter this folder; a link shows where.
	if [ -L travelos-data/postgres/data ]; then rm -rf "$$(dirname "$$(readlink travelos-data/postgres/data)")"; fi
	rm -rf $(VENV) travelos-data dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/runtime.installed: $(BIN)/uv requirements.lock pyproject.toml
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/dev.installed: $(BIN)/uv requirements-dev.lock pyproject.toml
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements-dev.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@ $(VENV)/runtime.installed

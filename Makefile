# Every target makes the virtual environment it needs; nothing but Python 3.11+ and make has to be there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check bench schemas clean

run: .venv/run  ## serve orders on http://127.0.0.1:8000 and show their events
	$(BIN)/oms up

test: .venv/dev  ## all tests, on a real PostgreSQL and a real broker
	$(BIN)/pytest $(if $(KAFKA_BOOTSTRAP_SERVERS),,-n 2 --dist loadfile)

check: .venv/dev  ## lint, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/dev  ## the table of benchmarks/README.md; needs wrk
	$(BIN)/python -m benchmarks $(BENCH)

schemas: .venv/dev  ## write docs/schemas and the diagram of docs/fulfilment.md from the code
	$(BIN)/python docs/generate_schemas.py
	$(BIN)/python docs/generate_fulfilment.py

clean:  ## take the virtual environment away; ./data, with the orders, stays
	rm -rf .venv

.venv/run: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.13 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --require-hashes -r requirements.lock
	$(BIN)/pip install -q --no-deps -e .
	@touch $@

.venv/dev: .venv/run requirements-dev.lock
	$(BIN)/pip install -q --require-hashes -r requirements-dev.lock
	@touch $@

# Every target makes the virtual environment it needs; nothing but Python 3.11+ and make has to be there.
PYTHON ?= python3
BIN := .venv/bin
# Modules, and not the scripts beside it: those name their interpreter by a path that may have spaces or be too long.
RUN := $(BIN)/python -m
PACKAGES := order_service inventory_service payment_service shared_kernel http_api messaging oms
RELEASING := .venv/release-tools/bin/python -m

.PHONY: attack run test check bench against peers chaos simulate mutants evidence schemas contracts dashboards helm manifests firing exercise rollout smoke sbom audit release clean

run: .venv/run  ## serve orders on http://127.0.0.1:8000 and show their events
	$(RUN) oms up

test: .venv/dev  ## all tests, on a real PostgreSQL and a real broker
	$(RUN) pytest $(if $(KAFKA_BOOTSTRAP_SERVERS),,-n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0)

check: .venv/dev  ## lint, types, import contracts
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	$(BIN)/python -c "from importlinter.cli import lint_imports_command as check; check()"

bench: .venv/dev  ## the table of benchmarks/README.md; needs wrk
	$(RUN) benchmarks $(BENCH)

against: .venv/dev  ## this tree and another commit in turns: make against AGAINST=COMMIT
	$(RUN) benchmarks.against $(AGAINST)

peers: .venv/dev .venv/peers/installed  ## ours beside engines of durable execution, for docs/peers.md; needs npm, and a broker as bench does
	$(RUN) benchmarks.peers $(PEERS)

chaos: .venv/dev  ## faults against the whole system, and what it kept; needs a JDK with Maven, and Go for the second checker
	$(RUN) chaos $(CHAOS)

simulate: .venv/dev  ## histories of the whole system with faults, in a deterministic simulation: make simulate SIMULATE="--seeds 1000"
	$(RUN) simulation $(SIMULATE)

mutants: .venv/dev  ## the product broken in one place after another, and the simulation has to notice it
	$(RUN) simulation.mutation $(MUTANTS)

evidence: .venv/dev  ## write docs/evidence.md from the records in docs/evidence, and from new ones: make evidence RECORDS="…"
	$(BIN)/python -m docs.generate_evidence $(RECORDS)

schemas: .venv/dev  ## write docs/schemas, docs/asyncapi.yaml, docs/openapi.yaml and the diagram of docs/fulfilment.md
	$(BIN)/python docs/generate_schemas.py
	$(RUN) docs.generate_asyncapi
	$(RUN) docs.generate_openapi
	$(BIN)/python docs/generate_fulfilment.py

dashboards: .venv/dev  ## write deploy/grafana/dashboards from the code
	$(BIN)/python deploy/grafana/generate.py

contracts: .venv/dev  ## would this tree break a consumer or a client of a release?
	$(RUN) contracts

helm: .venv/dev  ## helm, for the tests of the chart and for a release: built by Go into the user's cache folder where it is missing, in minutes
	$(RUN) deploy.release.helm build

manifests: .venv/dev  ## write deploy/kubernetes from the chart; needs helm, or Go
	$(RUN) deploy.release.helm write

firing: .venv/dev  ## each alert, shown firing by the fault that it is for; needs Prometheus, and a JDK with Maven
	$(RUN) tests.campaigns.firing $(FIRING)

attack: .venv/dev  ## attacks on a system of its own: forged tokens, wrong keys, smuggling, slow clients, schemathesis, fuzzers
	$(RUN) tests.campaigns.attack $(ATTACK)

exercise: .venv/dev  ## five faults to be found with docs/operations.md alone: make exercise EXERCISE="--seed 7"; needs root, too
	$(RUN) tests.campaigns.exercise $(EXERCISE)

rollout: .venv/dev  ## the manifests run: an upgrade, the way back and a drained node, under load; needs a JDK with Maven
	$(RUN) tests.campaigns.rollout $(ROLLOUT)

smoke:  ## the first order with every Python from 3.11 on that this machine has, each in an environment of its own
	"$(PYTHON)" -m tests.smoke

sbom: .venv/release  ## the bill of materials (CycloneDX) of requirements.lock, in dist
	$(RELEASING) deploy.release sbom

audit: .venv/release  ## the locked dependencies and the published advisories; deploy/release/accepted.toml accepts
	$(RELEASING) deploy.release audit

release: .venv/release  ## check version and changelog, then write wheel, bill of materials, chart and image; needs helm and Docker
	$(RELEASING) deploy.release $(RELEASE)

clean:  ## take the virtual environment away; ./data, with the orders, stays
	rm -rf .venv

.venv/run: requirements.lock pyproject.toml
	"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.13 …")'
	"$(PYTHON)" -m venv .venv
	$(RUN) pip install -q --require-hashes -r requirements.lock
	$(RUN) pip install -q --no-deps -e .
	@# pip does this for what is not editable. Where PYTHONDONTWRITEBYTECODE is set, every process would compile it all.
	$(RUN) compileall -q $(PACKAGES)
	@touch $@

.venv/dev: .venv/run requirements-dev.lock
	$(RUN) pip install -q --require-hashes -r requirements-dev.lock
	@touch $@

.venv/release: requirements-release.lock
	"$(PYTHON)" -m venv .venv/release-tools
	.venv/release-tools/bin/python -m pip install -q --require-hashes -r requirements-release.lock
	@touch $@

.venv/peers/installed: benchmarks/peers/requirements.lock benchmarks/peers/package-lock.json
	"$(PYTHON)" -m venv .venv/peers
	.venv/peers/bin/python -m pip install -q --require-hashes -r benchmarks/peers/requirements.lock
	cp benchmarks/peers/package.json benchmarks/peers/package-lock.json .venv/peers
	npm ci --prefix .venv/peers --ignore-scripts --no-audit --no-fund --silent
	@touch $@

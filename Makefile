# `make demo` and `make test` are all that a newcomer needs; both set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

# Tests that also run with clients of httpx and httpx2 that are passed to SignStash.
FAULTS := tests/transport/test_faults.py tests/transport/test_connections.py tests/sandbox/test_integration_service.py

.PHONY: demo test lint types pytest generate check-generated spec-diff regenerate public-names prove-regeneration prove-package prove-kills prove-watch prove-source prove-faults prove-cancellation soak fuzz fuzz-sandbox bench sbom audit release docs lock clean

demo: $(INSTALLED)
	$(BIN)/python tests/demo.py

test: lint types check-generated pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ruff format --check --line-length 100 README.md $$(find src -name '*.md')

types: $(INSTALLED)
	$(BIN)/mypy
	$(BIN)/pyright
	PYTHONPATH=src PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pyright --verifytypes signstash --ignoreexternal

pytest: $(INSTALLED)
	SIGNSTASH_HTTP=httpx $(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal $(FAULTS)
	SIGNSTASH_HTTP=httpx2 $(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal $(FAULTS)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

generate: $(INSTALLED)
	$(BIN)/python openapi/generate.py

check-generated: $(INSTALLED)
	$(BIN)/python openapi/generate.py --check

# SPEC is the file or URL of a proxy's API definition; see src/signstash/definition.md.
spec-diff: $(INSTALLED)
	@$(BIN)/python openapi/regenerate.py --diff '$(or $(SPEC),$(error Name the definition: make spec-diff SPEC=<file or URL>))'

regenerate: $(INSTALLED)
	@$(BIN)/python openapi/regenerate.py '$(or $(SPEC),$(error Name the definition: make regenerate SPEC=<file or URL>))'

# Records the public names and signatures, once CHANGELOG.md lists what changed.
public-names: $(INSTALLED)
	@$(BIN)/python -m tests.project.public_names

# Slow: clients from other definitions sign, and the whole suite runs after three of them; with --short only the former.
prove-regeneration: $(INSTALLED)
	$(BIN)/python -m tests.proofs.regeneration

# Slow: installs wheel and sdist on every Python of the path, with each extra alone, and runs the tests there and with the lowest versions.
prove-package: $(INSTALLED)
	$(BIN)/python -m tests.proofs.package

# Slow: kills and resumes twenty times a run of 500 documents, and then callers of `batching`; none is lost or signed twice.
prove-kills: $(INSTALLED)
	$(BIN)/python -m tests.proofs.kills

# Slow: kills `signstash watch` twenty times while 500 files are dropped, and balances the books.
prove-watch: $(INSTALLED)
	$(BIN)/python -m tests.proofs.watch_kills

# Slow: signs 10,000 documents of a queue that is filled irregularly, and leaves the run in the middle.
prove-source: $(INSTALLED)
	$(BIN)/python -m tests.proofs.waiting_source

# Slow: signs 2,000 documents with a service that fails in every way; none is lost or signed twice.
prove-faults: $(INSTALLED)
	SIGNSTASH_FAULT_DOCUMENTS=2000 $(BIN)/python -m pytest -q tests/runs/test_fault_run.py

# Slow: cuts off 20,000 calls on asyncio and on uvloop, and uses every connection afterwards.
prove-cancellation: $(INSTALLED)
	$(BIN)/python -m tests.proofs.cancellation

# Slow: signs for three minutes (SIGNSTASH_SOAK_SECONDS) with a sandbox that fails; memory stays flat, and no document is lost.
soak: $(INSTALLED)
	$(BIN)/python -m tests.proofs.soak

# Slow: the fuzz tests with a hundred times as many responses.
fuzz: $(INSTALLED)
	SIGNSTASH_FUZZ_EXAMPLES=30000 $(BIN)/python -m pytest -q --timeout 3600 tests/errors/test_fuzz.py

# Slow: two thousand generated requests for each of the sandbox's operations.
fuzz-sandbox: $(INSTALLED)
	SIGNSTASH_SANDBOX_EXAMPLES=2000 $(BIN)/python -m pytest -q --timeout 3600 tests/sandbox/test_fuzz.py

# Slow: first the table of the guide (src/signstash/documents.md), then more about each row. Of 2 KB and of 200 KB it
# signs 20,000 documents; fewer with DOCUMENTS=... LARGE=...
bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks.table
	$(BIN)/python -m tests.benchmarks.auth
	$(BIN)/python -m tests.benchmarks.runs
	$(BIN)/python -m tests.benchmarks.batching
	$(BIN)/python -m tests.benchmarks.payloads
	$(BIN)/python -m tests.benchmarks.volume --documents $(or $(DOCUMENTS),20000) --large $(or $(LARGE),20000)
	$(BIN)/python -m tests.benchmarks.sandbox

# build/sbom.json (CycloneDX): what users install with every extra.
sbom: $(INSTALLED)
	$(BIN)/uv venv --quiet --clear build/installed
	$(BIN)/uv pip install --quiet --python build/installed --constraints requirements-dev.lock --all-extras --requirement pyproject.toml .
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json build/installed

# Licences, SBOM, and known vulnerabilities of what is locked; exit status 3 if the vulnerability service does not answer.
audit: sbom
	$(BIN)/python -m pytest -q tests/project/test_packaging.py -k licences
	$(BIN)/python .ci/audit.py

# What is published: wheel, sdist and SBOM in build/dist, checked; it says what is left to the publisher.
release: sbom
	rm -rf build/dist
	$(BIN)/python -m hatchling build --directory build/dist
	$(BIN)/python -m twine check --strict build/dist/*
	cp build/sbom.json build/dist/signstash.cdx.json
	@echo "Date the version in CHANGELOG.md and tag it. Upload wheel and sdist from CI with trusted publishing, which also"
	@echo "attests where they were built; attach the SBOM to the release. Uploads with a password have no attestations."

# README, guides and API reference as pages and as text in build/docs; a warning fails.
docs: $(INSTALLED)
	$(BIN)/python -W error .ci/docs.py

# Takes the newest versions that pyproject.toml allows, for every platform and Python that is supported.
lock: $(INSTALLED)
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" --all-extras --group dev --output-file requirements-dev.lock pyproject.toml

$(INSTALLED): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf .venv build

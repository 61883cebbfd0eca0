# Two commands for a newcomer, `make demo` and `make test`; both set up what they need first, in .venv and node_modules.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

define CHECK_PYTHON
import importlib.util, sys
found = ".".join(map(str, sys.version_info[:2]))
if sys.version_info < (3, 11):
    sys.exit(f"msi-stream needs Python 3.11 or newer, and $(PYTHON) is {found}: name another one, as in make PYTHON=python3.11 demo")
if not importlib.util.find_spec("ensurepip"):
    sys.exit(f"$(PYTHON) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt-get install python{found}-venv)")
endef
export CHECK_PYTHON

.PHONY: demo test matrix kills bench bench-quick lint fmt vulnerabilities wheel deb lock setup clean

demo: setup
	$(BIN)/msi-stream demo $(ARGS)

test: setup node_modules/.ready
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

# The fault matrix in full: every way to fail at every call. `make test` has a covering selection of it.
matrix: setup
	$(BIN)/python -m pytest -n auto --dist worksteal tests/faults --whole-matrix $(ARGS)

# The long run of random kills (docs/reliability.md, "Proof"); too long for CI.
kills: setup
	$(BIN)/python -m tests.crash.long_kills $(ARGS)

# Each figure beside what it is compared with (docs/performance.md); writes bench/results. Takes long; the short form some two minutes.
bench: setup node_modules/.ready
	$(BIN)/python -m bench $(ARGS)

bench-quick: setup node_modules/.ready
	$(BIN)/python -m bench --size quick --out .bench $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Known vulnerabilities of what users get, as far as the package index tells of them.
vulnerabilities: setup
	@$(PYTHON) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/audit.txt
	@$(VENV)/audit/bin/python requirements/vulnerabilities.py

setup: $(READY)

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c "$$CHECK_PYTHON"
	@echo "setting up $(VENV), once"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Node is needed only for the tests that run other people's CometD clients and server; without it they are skipped with the reason.
node_modules/.ready: package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund && touch $@; \
	else echo "npm is not installed: the tests against other people's CometD software will be skipped"; fi

# The same sources make the same files, to the byte.
wheel: setup
	@rm -f dist/*.whl
	@$(BIN)/hatchling build -t wheel
	@ls dist/*.whl

# For the release of Debian that this is, with the dependencies of requirements/run.txt in it.
deb: wheel
	@PIP=$(BIN)/pip packaging/deb dist/*.whl dist

# Renews the hashed locks after a change in pyproject.toml.
lock:
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet pip-tools
	$(VENV)/lock/bin/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements/run.txt pyproject.toml
	$(VENV)/lock/bin/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --extra dev --output-file requirements/dev.txt pyproject.toml
	$(VENV)/lock/bin/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file requirements/audit.txt requirements/audit.in

clean:
	rm -rf $(VENV) node_modules dist

# Overread. `make demo` and `make test` work in a fresh clone with Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# cpu or gpu: the two inference runtimes exclude each other, so each has its own lock.
ACCEL ?= cpu
STUDY ?=
PRIOR ?=
# Empty for an image, which keeps no source tree.
EDITABLE ?= -e
OUT ?= demo-out
PROFILE ?= development
# A package index that is slow or breaks a transfer should not end the installation.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --retries 5

# onnxruntime reports its use to its maker unless it is told not to.
export ORT_DISABLE_TELEMETRY := 1
# Child processes with another working directory measure into the same file.
export COVERAGE_FILE := $(CURDIR)/.coverage

.PHONY: install demo test check system-test gate benchmark lock weights clean
.DEFAULT_GOAL := install

install: $(VENV)/.installed-$(ACCEL) weights

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Overread needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-$(ACCEL): $(BIN)/python requirements/$(ACCEL).lock pyproject.toml
	$(PIP) install --require-hashes -r requirements/$(ACCEL).lock
	$(PIP) install --no-deps --no-build-isolation $(EDITABLE) .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-cpu requirements/dev.lock
	$(PIP) install --require-hashes -r requirements/dev.lock
	touch $@

# Fetches the networks from their package, checks every hash, converts them to ONNX; does nothing when they are there.
weights: $(VENV)/.installed-$(ACCEL)
	$(BIN)/overread weights

demo: install
	$(BIN)/overread demo --out "$(OUT)" $(if $(STUDY),--study "$(STUDY)") $(if $(PRIOR),--prior "$(PRIOR)")

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# FAST=1 leaves out what takes minutes. What each test executed is measured, and left as signed evidence in
# qms/evidence, also after a failure: the gate then says what is not shown.
test: check weights
	$(BIN)/coverage erase
	status=0; $(BIN)/coverage run -m pytest -m "not system$(if $(FAST), and not slow)" --evidence test || status=$$?; \
	$(BIN)/python -m qms.seal test || status=1; \
	$(BIN)/coverage report --skip-covered --skip-empty | tail -n 40; exit $$status

# Real peers from Debian (Orthanc, DCMTK): installed here, started and stopped by the tests, on loopback.
system-test: export COVERAGE_FILE := $(CURDIR)/.coverage-system
system-test: $(VENV)/.installed-dev weights
	tests/system/install-peers
	$(BIN)/coverage erase
	status=0; $(BIN)/coverage run -m pytest -m system --evidence system || status=$$?; \
	$(BIN)/python -m qms.seal system || status=1; exit $$status

# Each risk control is switched off once, and its tests must notice; then every gap of the quality record is named.
# PROFILE=release also asks for what only people can give.
gate: $(VENV)/.installed-dev
	$(BIN)/overread qms prove
	$(BIN)/overread qms gate --profile $(PROFILE)

benchmark: install
	$(BIN)/python -m validation.benchmarks.turnaround --study "$(STUDY)"

# With their extras: else pip looks for the newest release of a package that another one wants with an extra, and stops.
lock:
	uv pip compile -q --no-strip-extras pyproject.toml requirements/build.in --extra cpu --universal --generate-hashes --python-version 3.11 --no-header -o requirements/cpu.lock
	uv pip compile -q --no-strip-extras pyproject.toml requirements/build.in --extra gpu --universal --generate-hashes --python-version 3.11 --no-header -c requirements/cpu.lock -o requirements/gpu.lock
	uv pip compile -q --no-strip-extras pyproject.toml requirements/build.in --extra cpu --extra dev --universal --generate-hashes --python-version 3.11 --no-header -c requirements/cpu.lock -o requirements/dev.lock

clean:
	rm -rf $(VENV) build *.egg-info .coverage* damaged-coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

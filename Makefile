# Everything starts here; Python >= 3.11 and make are all that must be there before.
#
# Each target makes what it needs: `.venv` by `python -m venv`, then one stamp file for each set of packages, made anew
# when pyproject.toml is newer. The targets do not depend on one another: on a fresh clone, any of them can be the first.
#
#     make run ARGS="--listing --bind :9443"      options for the server
#     make test PYTEST_ARGS="-x tests/http"       options for pytest
#     make test TESTERS=0                         in one process, as for a debugger
#     make run PYTHON=/opt/python3.13/bin/python  an interpreter of your choice

PYTHON ?=
ARGS ?=
PYTEST_ARGS ?=
TESTERS ?= 2

VENV := .venv
BENCH_VENV := .venv-bench
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

# The first that exists, runs (a pyenv shim may exist and not run) and is new enough; one that can make a venv before
# one that cannot, so that the advice about python3-venv is given only where it helps.
define FIND_PYTHON
found=; bare=; \
for candidate in $(or $(PYTHON),/usr/bin/python3 python3.13 python3.12 python3.11 python3 python); do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then found=$$candidate; break; fi; \
	bare=$${bare:-$$candidate}; \
done; \
if [ -z "$$found" ] && [ -n "$$bare" ]; then \
	echo "$$bare cannot make virtual environments: on Debian and Ubuntu, 'apt install python3-venv' lets it." >&2; exit 1; \
elif [ -z "$$found" ]; then \
	echo "edgestack needs Python 3.11 or newer, and none was found. Where it has another name:" >&2; \
	echo "    make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; \
fi
endef

.DEFAULT_GOAL := help
.PHONY: help run test check format reference bench fuzz clean
.DELETE_ON_ERROR:

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1	\2/' | expand -t 16

run: $(VENV)/.run ## serve site/ and the sample application at https://localhost:8443
	$(VENV)/bin/edgestack serve --static site/ --app src.main:app $(ARGS)

test: $(VENV)/.test ## the whole test suite
	$(VENV)/bin/python -m pytest --numprocesses $(TESTERS) $(PYTEST_ARGS)

check: $(VENV)/.test $(VENV)/.quality ## style, types, and who may import whom
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict
	$(VENV)/bin/python -m pytest -q tests/test_floors.py

format: $(VENV)/.quality ## let ruff lay the code out
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

reference: $(VENV)/.run ## the page of every key, made from the checks
	PYTHONPATH=. $(VENV)/bin/python tests/reference_page.py

bench: $(VENV)/.run $(BENCH_VENV)/.bench ## processor time per request, beside nginx and others
	$(VENV)/bin/python tests/bench/bench.py $(ARGS)

fuzz: $(VENV)/.test ## the property tests, for much longer than in the suite
	EDGESTACK_LONG=1 $(VENV)/bin/python -m pytest --timeout=0 tests/wire $(PYTEST_ARGS)

clean: ## remove what make and the tools made; certificates stay
	rm -rf $(VENV) $(BENCH_VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(FIND_PYTHON); echo "making $(VENV) with $$found"; "$$found" -m venv --clear $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python $(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python $(PIP_INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.quality: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python $(PIP_INSTALL) --editable '.[quality]'
	@touch $@

$(BENCH_VENV)/bin/python:
	@$(FIND_PYTHON); echo "making $(BENCH_VENV) with $$found"; "$$found" -m venv --clear $(BENCH_VENV)

# The neighbours live in an environment of their own; one that cannot be had is skipped by the bench, and named.
$(BENCH_VENV)/.bench: | $(BENCH_VENV)/bin/python
	@for peer in granian waitress gunicorn; do \
		echo "installing $$peer"; $(BENCH_VENV)/bin/python $(PIP_INSTALL) $$peer || echo "$$peer cannot be installed here"; \
	done
	@touch $@

# Daily work. Everything runs in .venv, which `manage.py` builds; CI runs `.ci/run`, which runs `make check`.
PYTHON := .venv/bin/python
SET_UP := python3 -m config.environments requirements-dev.txt
UV ?= uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.PHONY: demo test lint check fix lock

demo:
	python3 manage.py demo

test:
	python3 manage.py test

# Everything CI asks for, fast parts first.
check: lint
	python3 manage.py test

lint:
	@$(SET_UP)
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	$(PYTHON) manage.py makemigrations --check --dry-run

fix:
	@$(SET_UP)
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

# Versions move only here. `make lock UPGRADE=--upgrade` takes what is new.
lock:
	$(COMPILE) $(UPGRADE) requirements.in -o requirements.txt
	$(COMPILE) $(UPGRADE) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) $(UPGRADE) tests/thirdparty/mcp-server-git.in -o tests/thirdparty/mcp-server-git.txt

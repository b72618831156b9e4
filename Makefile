# Every target sets up what it needs from nothing: a virtual environment with the versions that were verified, by hash.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test slow check format docs audit package lock clean

help:  ## Show this list.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

$(READY): requirements/dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("labelcontrast needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

setup: $(READY)  ## Make the virtual environment (any other target does it too).

demo: $(READY)  ## On built-in pictures: bce, zlpr and reg compared, and a model; ends with the addresses of its pages.
	$(BIN)/labelcontrast demo --out demo --force

test: $(READY)  ## The quick suite: under five minutes on two cores.
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

slow: $(READY)  ## The end-to-end runs of minutes.
	$(BIN)/pytest -n 2 --dist loadfile -m slow

check: $(READY)  ## Linters, formatter, type checker.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## Let the formatter write.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs:  ## Build the documentation site into site/, with warnings as errors; its packages have an environment of their own.
	test -x $(VENV)-docs/bin/python || $(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements/docs.lock
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --quiet --strict

audit: $(READY)  ## Licences and known vulnerabilities of the pinned packages; needs a network.
	$(BIN)/uv tool run pip-licenses==5.5.5 --python $(BIN)/python --order license
	$(BIN)/uv tool run pip-audit==2.10.1 --strict --disable-pip --require-hashes --requirement requirements/dev.lock

package: $(READY)  ## Wheel and source distribution in dist/, checked.
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/twine check --strict dist/*

lock: $(READY)  ## Solve pyproject.toml anew and write requirements/dev.lock and requirements/docs.lock.
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
		--extra timm --extra umap --extra tensorboard --extra ray --extra search --extra serve \
		--extra onnx --extra sentence-transformers --extra datasets --group dev \
		--override requirements/overrides.txt --output-file requirements/dev.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
		--group docs --output-file requirements/docs.lock

clean:  ## Remove the virtual environments, the site and the demo.
	rm -rf $(VENV) $(VENV)-docs site demo

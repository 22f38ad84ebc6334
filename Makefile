# Every target sets itself up: it makes a virtual environment in .venv if there is none, and installs what it needs.

PYTHON ?= python3
VENV ?= .venv
# options of pip for torch and torchvision alone, such as the index of a build for the CPU
TORCH_PIP_ARGS ?=
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
SIZE := about 6 GB on disk with CUDA (what pip takes on Linux), about 1.2 GB with a CPU build of torch
DEMO_DATA := data/synthetic_nyu
JOBS ?= 2

.PHONY: help demo test test-long lint setup clean

help:
	@echo "make demo       synthetic data, a dense and a sparse trial, tables, figures, a compact model (a few minutes on two cores)"
	@echo "make test       lint, types and the fast tests, in JOBS=$(JOBS) processes of one thread each"
	@echo "make test-long  the slow tests, likewise"
	@echo "make setup      only the virtual environment in $(VENV): $(SIZE)"
	@echo "make clean      remove the demo's data and results (not $(VENV))"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than Python 3.11; name another one: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: requirements.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV): $(SIZE)."
	@echo "TORCH_PIP_ARGS=\"<options of pip>\" chooses another build of torch (README.md). It takes some minutes ..."
	$(if $(TORCH_PIP_ARGS),$(PIP) $(TORCH_PIP_ARGS) $(shell sed -En "s/^torch(vision)?>.*/'&'/p" requirements.txt))
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev-ready: requirements-dev.txt requirements-track.txt requirements-export.txt $(VENV)/.run-ready
	$(PIP) -r requirements-dev.txt
	@touch $@

setup: $(VENV)/.run-ready

demo: $(VENV)/.run-ready
	$(RUN) prepare_data.py synthetic --dataset nyu --out $(DEMO_DATA)
	$(RUN) main_multi_trials.py --config_exp config/demo.yaml --overwrite group_sparsity=false Experiment_name=demo_dense
	$(RUN) main_multi_trials.py --config_exp config/demo.yaml --overwrite
	$(RUN) plot_sparsity_wandb.py --exp_folder_path results/runs/demo_trial_0
	$(RUN) compact_model.py --exp_folder_path results/runs/demo_trial_0
	@echo
	@echo "Dense, sparse, compact:  results/runs/demo_trial_0/dense_sparse_compact.png (the table above as a figure)"
	@echo "The result tables:       out_csv/demo.csv and demo_dense.csv (one row each), ..._trials.csv (one row per trial)"
	@echo "Learning curves:         results/runs/demo_trial_0/curves.png"
	@echo "The sparsity figure:     results/runs/demo_trial_0/sparsity_plot.png (and .pdf, sparsity.csv)"
	@echo "Predictions:             results/runs/demo_trial_0/predictions/best.png"
	@echo "The compact model:       results/runs/demo_trial_0/compact.safetensors, with model_card.md and compact_report.md"

lint: $(VENV)/.dev-ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m "not slow" -n $(JOBS) --dist worksteal

test-long: $(VENV)/.dev-ready
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m slow -n $(JOBS) --dist worksteal

clean:
	rm -rf $(DEMO_DATA) results/runs/demo_trial_0 results/runs/demo_dense_trial_0 out_csv/demo.csv out_csv/demo_trials.csv \
		out_csv/demo_dense.csv out_csv/demo_dense_trials.csv

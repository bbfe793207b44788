# make quickstart | test | check | soak | lint | bench. Each makes its own environment in .venv and installs what it needs.
PYTHON ?= python3
VENV   ?= .venv
BENCH  ?= .venv-bench
PY      = $(VENV)/bin/python
PIP     = $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: quickstart train-best-diffusion train-best-gan test check soak bench bench-gpu lint environment dev-environment clean

# A diffusion model learns to draw ten dishes on the CPU, without any download: about 3 minutes.
quickstart: $(VENV)/.installed
	$(PY) train.py exp.config_path=configs/quickstart.yaml
	$(PY) inference.py exp.config_path=configs/inference/quickstart.yaml train.checkpoint_path=latest

# Trains the best model that fits into ten minutes of one GPU, chooses its settings on dev, evaluates and exports it.
train-best-diffusion: $(VENV)/.installed
	$(PY) -m report.best config=configs/diffusion/food101_best.yaml minutes=10 out=runs/best_diffusion

# The same for the GAN, in seven minutes.
train-best-gan: $(VENV)/.installed
	$(PY) -m report.best config=configs/gan/food101_best.yaml minutes=7 out=runs/best_gan

# Every claim once: at most 10 minutes on 2 cores.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 -m "not slow"

# The slow rest as well, and other versions of PyTorch: at most 60 minutes on 2 cores.
check: $(VENV)/.installed-dev lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --durations 10
	$(PY) -m tests.other_versions

# The part of `check` that kills, fills the disk and runs long: docs/reliability.md says what it holds.
soak: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --durations 10 tests/faults

# Speed, beside other projects that are measured at the same time: one table. About half an hour on 2 idle cores.
# GO_ON=true goes on after an interruption, RUN=[data,trainer] measures these, ROUNDS=3 is quicker.
RUN     ?= all
GO_ON   ?= false
ROUNDS  ?= 7
MINUTES ?= 8
bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks run=$(RUN) out=report/speed/cpu.json device=cpu rounds=$(ROUNDS) go_on=$(GO_ON)

# The same on a GPU: ten minutes, and nothing else is needed. BENCH_PY=python3 takes an environment that is there.
BENCH_PY ?= $(BENCH)/bin/python
bench-gpu: $(if $(filter $(BENCH)/bin/python,$(BENCH_PY)),$(BENCH)/.installed)
	$(BENCH_PY) -m benchmarks run=$(RUN) out=report/speed/gpu.json device=cuda rounds=5 minutes=$(MINUTES) go_on=$(GO_ON)

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

environment: $(VENV)/.installed
dev-environment: $(VENV)/.installed-dev

$(VENV)/.installed: requirements.txt requirements-base.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4) and "Python 3.11.4 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	touch $@

$(BENCH)/.installed: requirements-bench.txt requirements-dev.txt requirements.txt requirements-base.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	touch $@

clean:
	rm -rf $(VENV) $(BENCH)

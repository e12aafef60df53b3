SHELL := /bin/bash
VENV ?= .venv
PYTHON := $(VENV)/bin/python
export PET_CACHE ?= .cache
MODEL ?= bert-tiny
OUT ?= runs/newsgroups-$(MODEL)
TEST := test

# On a CPU a causal model of 135 million parameters has to make do with fewer rows and steps.
ifeq ($(MODEL),smollm2)
TEST := labeled-100-seed7
SMALLER := --preset fast --set member.steps=30 --set member.batch_size=4 \
           --set unlabeled_rows=500 --set max_length=64
endif

.PHONY: help demo test test-thorough faults check audit bench bench-job bench-gpu bench-quality \
        bench-certify bench-pairs bench-review bench-size bench-transfer bench-tuning pictures docs \
        clean

help:  ## say what there is to make
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

# pip 26 chooses the versions in a quarter of the time of Python 3.11's pip 23. Compiling all modules
# takes 70 processor seconds, those that are imported 15, when they are.
PIP = $(PYTHON) -m pip install -qq --disable-pip-version-check --no-compile
INSTALL = python3 -m venv $(VENV) && $(PIP) 'pip>=26' && $(PIP) -c constraints.txt -e

# What the demo needs; .installed-dev: everything that tests, checks and benchmarks use as well.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(INSTALL) '.[demo]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	$(INSTALL) '.[demo,dev]'
	touch $(VENV)/.installed $@

demo: $(VENV)/.installed  ## label real posts with a real model; MODEL=smollm2 for a causal one
	$(PYTHON) -m data.fetch newsgroups bert-tiny $(MODEL)
	$(VENV)/bin/pet run newsgroups --out $(OUT) \
	  --labeled $(PET_CACHE)/newsgroups/labeled-50-seed0.parquet \
	  --pool $(PET_CACHE)/newsgroups/pool.parquet \
	  --test $(PET_CACHE)/newsgroups/$(TEST).parquet \
	  --model $(PET_CACHE)/models/$(MODEL) --student-model $(PET_CACHE)/models/bert-tiny \
	  $(SMALLER)

# Two processes of a thread each: more of them would start more Prefect servers and Ray nodes at once.
test: $(VENV)/.installed-dev  ## run the tests, but for those of the next two (6 to 9 minutes)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-thorough: $(VENV)/.installed-dev  ## more kinds of models, and far more random examples
	$(PYTHON) -m pytest -m thorough
	$(PYTHON) -m pytest --hypothesis-profile=thorough --timeout=0 tests/pet/tasks/test_properties.py \
	  tests/pet/tasks/test_patterns.py tests/pet/test_escaping.py

faults: $(VENV)/.installed-dev  ## faults at every write, damaged files, kills (40 min.); SEED=7, SCHEDULE=7, DAMAGE=7
ifdef SCHEDULE
	$(PYTHON) -m tests.faults --schedule $(SCHEDULE)
else ifdef DAMAGE
	$(PYTHON) -m tests.faults --damage $(DAMAGE)
else
	$(PYTHON) -m data.fetch bert-tiny
	$(if $(SEED),SEED=$(SEED)) $(PYTHON) -m pytest -m faults
	$(PYTHON) -m tests.faults $(if $(SEED),--seed $(SEED))
endif

audit: $(VENV)/.installed-dev  ## look the pinned versions up among known vulnerabilities (network)
	$(PYTHON) -m pip_audit --strict --no-deps --disable-pip -r constraints.txt

check: $(VENV)/.installed-dev  ## lint, types, import directions
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/.installed-dev  ## how fast, beside the machine's ceiling and a plain loop
	$(PYTHON) -m data.fetch newsgroups movies bert-tiny
	$(PYTHON) -m tests.bench.speed

bench-job: $(VENV)/.installed-dev  ## what a good result costs, beside SetFit and others (hours, resumable)
	$(PYTHON) -m data.fetch newsgroups movies bert-tiny smollm2 minilm
	$(PYTHON) -m tests.bench.job

bench-gpu: $(VENV)/.installed-dev  ## the same on a GPU, in ten minutes; without one it says so
	$(PYTHON) -m data.fetch newsgroups movies bert-tiny smollm2 minilm
	$(PYTHON) -m tests.bench.gpu

bench-tuning: $(VENV)/.installed-dev  ## ways of tuning beside full tuning, and their settings (hours, resumable)
	$(PYTHON) -m data.fetch newsgroups movies domains bert-tiny smollm2
	$(PYTHON) -m tests.bench.tuning_settings
	$(PYTHON) -m tests.bench.tuning

bench-transfer: $(VENV)/.installed-dev  ## soft prompts of other tasks and another model (15 minutes)
	$(PYTHON) -m data.fetch newsgroups movies reuters bert-tiny smollm2
	$(PYTHON) -m tests.bench.transfer

bench-pairs: $(VENV)/.installed-dev  ## a task of two fields, beside other methods (15 minutes)
	$(PYTHON) -m data.fetch subjects bert-tiny smollm2 minilm
	$(PYTHON) -m tests.bench.pairs

bench-quality: $(VENV)/.installed-dev  ## quality of labels over seeds, beside SetFit and others (hours)
	$(PYTHON) -m data.fetch all
	$(PYTHON) -m tests.bench.quality

bench-certify: $(VENV)/.installed-dev  ## what a certificate of labels costs, and whether it holds (15 minutes)
	$(PYTHON) -m data.fetch newsgroups movies reuters
	$(PYTHON) -m tests.bench.certify

bench-review: $(VENV)/.installed-dev  ## do 50 reviewed rows help more than 50 random ones (an hour)
	$(PYTHON) -m data.fetch newsgroups movies bert-tiny
	$(PYTHON) -m tests.bench.review

bench-size: $(VENV)/.installed-dev  ## memory and time of large pools, tasks and files (half an hour)
	$(PYTHON) -m data.fetch bert-tiny
	$(PYTHON) -m tests.bench.size

pictures: $(VENV)/.installed-dev  ## after `make demo`: the README's pictures, table and figures (chromium)
	$(PYTHON) -m tests.bench.pictures $(OUT)

docs: $(VENV)/.installed-dev  ## every docstring as a site: build/docs/index.html
	$(PYTHON) -m pdoc --docformat google --no-include-undocumented --no-show-source \
	  -o build/docs pet

clean:  ## remove what was built, keep the downloads
	rm -rf $(VENV) build *.egg-info

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

.PHONY: help demo test faults check bench-quality bench-tuning clean

help:  ## say what there is to make
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(VENV)/.installed: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	touch $@

demo: $(VENV)/.installed  ## label real posts with a real model; MODEL=smollm2 for a causal one
	$(PYTHON) -m data.fetch newsgroups bert-tiny $(MODEL)
	$(VENV)/bin/pet run newsgroups --out $(OUT) \
	  --labeled $(PET_CACHE)/newsgroups/labeled-50-seed0.parquet \
	  --pool $(PET_CACHE)/newsgroups/pool.parquet \
	  --test $(PET_CACHE)/newsgroups/$(TEST).parquet \
	  --model $(PET_CACHE)/models/$(MODEL) --student-model $(PET_CACHE)/models/bert-tiny \
	  $(SMALLER)

test: $(VENV)/.installed  ## run every test
	$(PYTHON) -m pytest

faults: $(VENV)/.installed  ## kill real runs at random moments, compare every byte (20 min.); SEED=7
	$(PYTHON) -m data.fetch bert-tiny
	$(PYTHON) -m tests.faults $(if $(SEED),--seed $(SEED))

check: $(VENV)/.installed  ## lint, types, import directions
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench-tuning: $(VENV)/.installed  ## LoRA, prefixes, soft prompts beside full tuning (hours, resumable)
	$(PYTHON) -m data.fetch newsgroups movies bert-tiny
	$(PYTHON) -m tests.bench.tuning

bench-quality: $(VENV)/.installed  ## quality of labels over seeds, beside SetFit and others (hours)
	$(PYTHON) -m data.fetch all
	$(PYTHON) -m tests.bench.quality

clean:  ## remove what was built, keep the downloads
	rm -rf $(VENV) build *.egg-info

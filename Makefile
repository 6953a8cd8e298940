# Everything runs in .venv, made from envs/lock.txt by the first target that needs it.
#
#   make demo CORES=8          as many jobs at once
#   make demo PYTHON=python3.12
#   make demo TORCH_INDEX=     no other index for torch than pip's own

CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# torch without CUDA, for Linux machines without a GPU.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

export PYTHON TORCH_INDEX
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Often set in containers; then every job would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

SNAKEFILES = Snakefile $(wildcard workflow/rules/*.smk)

.DEFAULT_GOAL := help
.PHONY: help setup demo real test check test-gpu lint bench pictures toys publish-toys clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/' | expand -t 16
	@echo
	@echo 'A study of your own, in the environment (. .venv/bin/activate). Targets stand before --configfile,'
	@echo 'which takes all words after it for files:'
	@echo '  skillprobe check my.yaml                               what is wrong in it, by line'
	@echo '  snakemake --cores 1 plan --configfile my.yaml          jobs, time, gigabytes'
	@echo '  snakemake --cores 4 pilot --configfile my.yaml         a few prompts first'
	@echo '  snakemake --cores 4 --configfile my.yaml               the study'

setup: ## make .venv, or bring it up to date
	@envs/setup.sh

demo: setup ## run the default study, to results/demo/report.html
	snakemake --cores $(CORES)
	snakemake --report results/demo/report.html

real: setup ## run a study of a real model, from the package index, to results/real/report.html
	snakemake --cores $(CORES) --configfile workflow/studies/real.yaml
	snakemake --report results/real/report.html --configfile workflow/studies/real.yaml

test: setup ## run the tests, one file per core
	pytest --numprocesses logical --no-loadscope-reorder

check: lint ## before a commit: check the style, run the quick unit tests of what has changed since the last one
	chosen=$$(python tests/unit/changed.py) && pytest --numprocesses logical -m "not slow" $$chosen

test-gpu: setup ## run the tests that need a GPU, on a machine with one
	pytest -m gpu

lint: setup ## check the style of code and workflow
	ruff check .
	ruff format --check .
	snakefmt --check $(SNAKEFILES)
	snakemake --lint

bench: setup ## measure the speed of probes, erasers, generation, monitors, extraction and shards
	python tests/bench/probes.py
	python tests/bench/older.py
	python tests/bench/erasure.py
	python tests/bench/generation.py
	python tests/bench/engines.py
	python tests/bench/real.py
	python tests/bench/behaviour.py
	python tests/bench/monitor.py
	python tests/bench/guard.py
	python tests/bench/extraction.py
	python tests/bench/shards.py

pictures: setup ## copy the figures that the pages show from results/demo/ and results/real/ to docs/images/
	python docs/make_pictures.py

toys: setup ## train the toy models, to results/toy/
	snakemake --cores $(CORES) train_toy_models

publish-toys: setup ## copy results/toy/ to where the default study finds its models
	python workflow/scripts/publish_toys.py

clean: ## remove the environment and the caches, but no results
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build workflow/skillprobe.egg-info

# Everything that this checkout needs is put into .venv, .micropython and build, and nothing
# elsewhere. The first target lists the others.

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
CHIPS ?= 5

# Through the environment, so that quotes and spaces in a prompt or a path arrive as they are.
export FIRMWARE LLAMA2C MODEL TOKENIZER PROMPT

.PHONY: help setup run test verify lint flash doctor monitor bench clean train eval probe-micropython

help: ## list these targets
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1	\2/p' $(MAKEFILE_LIST) | expand -t 12

# A MicroPython of the user's own is probed each time; ours was when it was installed.
CHIP_PYTHON := $(if $(MICROPYTHON),probe-micropython,.micropython/micropython)

setup: ## install the Python packages and MicroPython into this folder
	@$(MAKE) --no-print-directory --silent -j2 .venv/installed $(CHIP_PYTHON)

# The stamp is written last, so what was broken off is done again.
.venv/installed: pyproject.toml
	@$(PYTHON) -m host.setup.environment
	@touch $@

.micropython/micropython probe-micropython:
	@$(PYTHON) -m host.setup.micropython

run: setup ## run a model on simulated chips: MODEL= TOKENIZER= PROMPT= CHIPS=5 BOARD= LINK= ARGS=
	@$(VENV_PYTHON) -m host.run --chips $(CHIPS) $(if $(MODEL),--model "$$MODEL") \
		$(if $(TOKENIZER),--tokenizer "$$TOKENIZER") \
		$(if $(BOARD),--board "$(BOARD)") $(if $(LINK),--link "$(LINK)") \
		$(if $(PROMPT),--prompt "$$PROMPT",--examples) $(ARGS)

test: lint ## check style and types, then run the tests: ARGS= for pytest
	@$(VENV_PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

verify: setup ## run the large test matrices, which make test samples: ARGS= for pytest
	@$(VENV_PYTHON) -m pytest -m verify $(ARGS)

lint: setup ## check style (ruff) and types (mypy)
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m mypy

flash: setup ## make a board a chip: BOARD= CHIP_ID= BOARDS= PORT= CHIPS= MODEL= LINK= PARALLEL= STAGES= COMBINE= FIRMWARE= ARGS=
	@$(VENV_PYTHON) -m host.flash $(if $(filter file,$(origin CHIPS)),,--chips $(CHIPS)) \
		$(if $(BOARD),--board "$(BOARD)") $(if $(BOARDS),--boards "$(BOARDS)") \
		$(if $(CHIP_ID),--chip-id "$(CHIP_ID)") \
		$(if $(PORT),--port "$(PORT)") $(if $(MODEL),--model "$$MODEL") \
		$(if $(TOKENIZER),--tokenizer "$$TOKENIZER") \
		$(if $(FIRMWARE),--firmware "$$FIRMWARE") $(if $(LINK),--link "$(LINK)") \
		$(if $(PARALLEL),--parallel "$(PARALLEL)") $(if $(STAGES),--stages "$(STAGES)") \
		$(if $(COMBINE),--combine "$(COMBINE)") $(ARGS)

doctor: setup ## say what is wrong with boards and what to do: PORT= for one alone
	@$(VENV_PYTHON) -m host.doctor $(if $(PORT),"$(PORT)") $(ARGS)

monitor: setup ## show what all boards print and report: PORT= for one alone
	@$(VENV_PYTHON) -m host.monitor $(if $(PORT),"$(PORT)") $(ARGS)

bench: setup ## measure instructions, frames, heaps and times: MODEL= LLAMA2C=run.c ARGS=
	@$(VENV_PYTHON) -m bench $(ARGS)

train: setup .venv/train-installed ## train the shipped model anew, or go on where that was broken off: ARGS=
	@$(VENV_PYTHON) -m training.train $(ARGS)

# Only training needs PyTorch, which is large.
.venv/train-installed: .venv/installed
	@$(VENV_PYTHON) -m training.environment
	@touch $@

eval: setup ## count the held-out commands that the shipped model answers rightly: ARGS=
	@$(VENV_PYTHON) -m host.evaluate $(ARGS)

clean: ## remove all that make has put here, the environment and MicroPython included
	@rm -rf .venv .micropython build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything that this checkout needs is put into .venv, .micropython and build, and nothing
# elsewhere. The first target lists the others.

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
CHIPS_GIVEN := $(value CHIPS)
CHIPS ?= 5

# What users give is taken as it is typed, without expanding a $ in it, and reaches commands through
# the environment, so that quotes, spaces and $ in a prompt or a path arrive as they are.
GIVEN := BOARD BOARDS CHIPS CHIP_ID FIRMWARE LINK LLAMA2C MODEL PARALLEL PORT PROMPT REDUCE STAGES \
	TOKENIZER
$(foreach name,$(GIVEN) ARGS,$(if $(value $(name)),$(eval override $(name) := $$(value $(name)))))
export $(GIVEN)

# Commands and tests start many Python processes, which should not each compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

# A variable that nothing here takes is most likely one that was mistyped.
SETTINGS := $(GIVEN) ARGS PYTHON VENV_PYTHON MICROPYTHON FEDERATION_BOARDS DEBIAN_MIRROR MAKEFLAGS
UNKNOWN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
UNKNOWN := $(firstword $(filter-out $(SETTINGS),$(UNKNOWN)))
$(if $(UNKNOWN),$(error no variable $(UNKNOWN): make takes $(GIVEN) and ARGS))

# $(call option,--name,VARIABLE): the option with the variable's value, where it has one.
option = $(if $($(2)),$(1) "$$$(2)")

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
	@$(VENV_PYTHON) -m host.run $(call option,--chips,CHIPS) $(call option,--model,MODEL) \
		$(call option,--tokenizer,TOKENIZER) $(call option,--board,BOARD) \
		$(call option,--link,LINK) $(or $(call option,--prompt,PROMPT),--examples) $(ARGS)

LINT = $(VENV_PYTHON) -m ruff check . && $(VENV_PYTHON) -m mypy
# In a fresh checkout, tests are compiled while types are checked, which takes one processor: else
# each of pytest's processes would compile all of them.
COMPILE = [ -e build/compiled ] || { $(VENV_PYTHON) -m pytest -q --collect-only; \
	mkdir -p build; touch build/compiled; }

test: setup ## check style and types, then run the tests: ARGS= for pytest
	@{ $(COMPILE); } </dev/null >/dev/null 2>&1 & \
	$(LINT) && wait && $(VENV_PYTHON) -m pytest -n auto --dist worksteal $(ARGS)

verify: setup ## run the large test matrices, which make test samples: ARGS= for pytest
	@$(VENV_PYTHON) -m pytest -n auto --dist worksteal -m verify $(ARGS)

lint: setup ## check style (ruff) and types (mypy)
	@$(LINT)

flash: setup ## make a board a chip: BOARD= CHIP_ID= BOARDS= PORT= CHIPS= MODEL= LINK= PARALLEL= STAGES= REDUCE= FIRMWARE= ARGS=
	@$(VENV_PYTHON) -m host.flash $(if $(CHIPS_GIVEN),$(call option,--chips,CHIPS)) \
		$(call option,--board,BOARD) $(call option,--boards,BOARDS) \
		$(call option,--chip-id,CHIP_ID) $(call option,--port,PORT) \
		$(call option,--model,MODEL) $(call option,--tokenizer,TOKENIZER) \
		$(call option,--firmware,FIRMWARE) $(call option,--link,LINK) \
		$(call option,--parallel,PARALLEL) $(call option,--stages,STAGES) \
		$(call option,--reduce,REDUCE) $(ARGS)

doctor: setup ## say what is wrong with boards and what to do: PORT= for one alone
	@$(VENV_PYTHON) -m host.doctor $(if $(PORT),"$$PORT") $(ARGS)

monitor: setup ## show what all boards print and report: PORT= for one alone
	@$(VENV_PYTHON) -m host.monitor $(if $(PORT),"$$PORT") $(ARGS)

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

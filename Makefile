# Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3.11
BIN := .venv/bin
# Without bytecode every rank of every test compiles torch's sources anew, which doubles its start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test pytest soak lint bench clean

demo: .venv/ready
	$(BIN)/reviewmill demo --out demo

# Types are checked while the first tests run. Three tests at a time keep two cores busy while
# one waits for a cluster.
test: .venv/ready
	$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: .venv/ready
	$(BIN)/python -m pytest -m "not soak" -n 3 --dist loadfile

# PART names a folder or a file below tests/, such as mpi_train; without it, everything.
soak: .venv/ready
	$(BIN)/python -m pytest -m soak tests/$(PART)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/reviewmill bench prepare
	$(BIN)/reviewmill bench train

clean:
	rm -rf .venv demo build *.egg-info

.venv/ready: bootstrap/environment.sh setup.py pyproject.toml constraints.txt
	bash bootstrap/environment.sh "$(PYTHON)" .venv

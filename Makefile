# Everything here sets itself up: only Python 3.11 or newer, git and make are needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help setup demo docs test test-milvus test-splits test-operations image coverage mutants check format bench gpu weights clean

help:
	@echo "make demo    make people, train, score, enrol and report: about 5 minutes on 2 cores"
	@echo "make test    run the tests"
	@echo "make test-milvus  the gallery's tests on a real Milvus server (Linux x86-64)"
	@echo "make test-splits  the official galleries of SYSU-MM01, from its rand_perm_cam.mat"
	@echo "make test-operations  the service behind real proxies (nginx, Caddy), and its systemd units"
	@echo "make image   build and start the Docker image, or run its steps where Docker is not"
	@echo "make coverage  run the tests and tell which lines and branches none reaches"
	@echo "make mutants   then: plant 325 faults and tell which of them the tests notice: hours"
	@echo "make check   lint, format, types, spelling, import layers"
	@echo "make docs    the site of the documentation, in runs/docs/site"
	@echo "make bench   measure speeds"
	@echo "make gpu     tests and speeds on one NVIDIA GPU: at most 9 minutes"
	@echo "make weights the weights that ship, from nothing: hours on 2 cores, minutes on a GPU"
	@echo "make setup   only make the environment in $(VENV)"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "crosslight needs Python 3.11 or newer, found $$($(PYTHON) --version); say: make PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV) (once, a few minutes; torch is large) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "Python cannot make a virtual environment; install its venv package (Debian: apt install python3-venv)."; rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY)
	@$(BIN)/crosslight demo

# Strict: a broken link or anchor, a page that nobody is led to, or one that loads from afar ends it.
docs: $(READY)
	@$(BIN)/python tools/site.py

# Two processes of one thread each: small networks gain nothing from threads that wait for others.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

# The last server on PyPI; its package is only for this, so it is not among the requirements.
test-milvus: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps milvus==2.3.5
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m milvus_server tests/gallery --numprocesses 4

# The permutations are the data set's: its owner hands them out, not we.
test-splits: $(READY)
	@test -f "$(CROSSLIGHT_SYSU_SPLITS)/rand_perm_cam.mat" || { echo "There is no rand_perm_cam.mat in '$(CROSSLIGHT_SYSU_SPLITS)'; obtain it from evaluation/data_split of the public repository wuancong/SYSU-MM01 and say: make test-splits CROSSLIGHT_SYSU_SPLITS=FOLDER"; exit 1; }
	CROSSLIGHT_SYSU_SPLITS="$(abspath $(CROSSLIGHT_SYSU_SPLITS))" $(BIN)/python -m pytest -m sysu_splits tests/evaluation

test-operations: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m operations tests/operations

# TORCH_INDEX: PyTorch's index of builds for processors alone.
image: $(READY)
	@$(BIN)/python tools/image.py --torch-index "$(TORCH_INDEX)"

coverage: $(READY)
	@rm -rf runs/coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --cov --cov-report= --cov-context=test \
	  --junit-xml runs/coverage/tests.xml -o junit_family=xunit1
	@$(BIN)/coverage report

# Goes on where it was cut; begin anew: make coverage, then remove runs/mutants.jsonl.
mutants: $(READY)
	@test -d runs/coverage || { echo "Which tests run which line is not known yet; say first: make coverage"; exit 1; }
	OMP_NUM_THREADS=1 $(BIN)/python tools/mutants.py --processes 2

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src tests docs examples benchmarks tools README.md CONTRIBUTING.md CHANGELOG.md ROADMAP.md
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	@for name in $(filter-out gpu loss_curves open_set people_in_video real_video,$(basename $(notdir $(wildcard benchmarks/*.py)))); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

# Tests and measures what only a GPU shows; a part that fails is told, and the rest goes on.
OUT ?= gpu-report
gpu: $(READY)
	$(BIN)/python benchmarks/gpu.py --out $(OUT)

# Draws the people, trains, scores in worlds that were not trained on, and packs; resumable.
weights: $(READY)
	$(BIN)/python tools/make_weights.py --out runs/weights

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

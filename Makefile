# make run             the manual on http://localhost:8080, probes on :8081
# make run VAULT=DIR   the vault in DIR instead, watched for changes
# make demo            the site replaces itself three times under load, on spare ports
# make test            all that must hold; CI runs this and nothing else
# make check           the part of it that takes seconds: format, lint, types
# make format          what a machine can mend
# make one-port        the rows without a load balancer of docs/benchmarks, a quarter of an hour
# make table           all rows of docs/benchmarks, 10 deploys each, hours
# make soak            the tests again, with every note and many more rounds; then make table

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_FLAGS ?=
# Files of tests run in so many processes beside one another. Those that send loads do
# so among themselves; what is balanced has the machine for itself, since load balancers
# take an instance that answers late for a dead one, and so have browsers.
JOBS ?= 2
BESIDE := tests/deploys/test_recipes.py tests/deploys/test_backup_manual.py
ALONE := $(addprefix tests/deploys/,test_balanced.py test_container.py \
  test_kubernetes.py test_two_addresses.py) tests/browser
TOGETHER = -n $(JOBS) --dist loadfile
# What deploys waits for most of its time, so that there may be one more.
WAITING = -n $(shell expr $(JOBS) + 1) --dist loadfile
# The longest first.
LONGEST := $(addprefix tests/deploys/,test_systemd.py test_one_port.py test_chaos.py)
LOADS := $(LONGEST) tests/test_readme.py $(filter-out $(BESIDE) $(ALONE) $(LONGEST),\
  $(wildcard tests/deploys/test_*.py)) tests/bench

.PHONY: run demo one-port table test lint format check soak packages
.DELETE_ON_ERROR:

# Empty when the machine has what an environment needs; else one line to print.
MISSING = $(shell PYTHON='$(PYTHON)' sh scripts/preflight.sh)

# The link is followed: an environment whose Python is gone is made anew, and one
# whose Python was upgraded is installed again.
$(BIN)/python:
	$(if $(MISSING),$(error $(MISSING)))@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/installed: requirements.txt $(BIN)/python
	@echo "installing what requirements.txt pins into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements.txt $(BIN)/python
	@echo "installing what requirements-dev.txt pins into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/installed

# A database that an instance is using is neither migrated here (status 3) nor empty:
# serve migrates it when it takes the writer slot.
# exec: the server takes the shell's place, so that a Ctrl-C reaches it once and
# make waits until it has drained.
run: $(VENV)/installed
	@is_used=; \
	case $$VAULT in "~/"*) VAULT=$$HOME/$${VAULT#"~/"};; esac; \
	if [ -n "$$VAULT" ]; then \
	  [ -d "$$VAULT" ] || { echo "VAULT=$$VAULT is not a directory." >&2; exit 2; }; \
	  export VAULT_DIR="$$VAULT"; \
	fi; \
	$(BIN)/python manage.py migrate --check >/dev/null 2>&1 || \
	  $(BIN)/python manage.py migrate --verbosity 0 || \
	  { [ $$? = 3 ] && is_used=yes; } || exit; \
	[ -n "$$VAULT_DIR$$is_used" ] || \
	  $(BIN)/python manage.py sync_vault --if-empty docs || exit; \
	exec $(BIN)/python manage.py serve

# With a copy of the site where there is one, else with the manual.
demo: $(VENV)/installed
	@data="$${DATA_DIR:-data}"; \
	if [ -s "$$data/trip2g.sqlite3" ]; then set -- --data "$$data"; fi; \
	$(BIN)/python bench/deploys.py --row handover --deploys 3 --rate 100 --check "$$@"

# Writes the table and the pictures, as they are committed; exits 1 on a lost request.
# 150 pages a second, with what they need and what is written, are 330 requests.
VAULTS ?= ../shared/vaults
one-port: packages $(VENV)/installed-dev
	$(BIN)/python bench/deploys.py --deploys 20 --rate 150 --grace 3s --check \
	  --row reuseport handover systemd-bluegreen systemd-restart caddy-tls naive-restart \
	  --vault $(VAULTS)/quartz-docs --out docs/benchmarks/deploys

# The table as the manual has it. What cannot run here is skipped with a line that says
# how to get it; what fails does not stop the others, and each is kept once it is there.
table: packages $(VENV)/installed-dev
	$(BIN)/python bench/k6.py --vault $(VAULTS)/quartz-docs \
	  --markdown docs/benchmarks/deploys-k6.md
	$(BIN)/python bench/deploys.py --deploys 10 --requests 80 500 --releases --ways \
	  --check --vault $(VAULTS)/quartz-docs --out docs/benchmarks/deploys

packages: $(BIN)/python
	@sh scripts/install-test-packages.sh
	@sh scripts/fetch-consul.sh $(BIN)
	@sh scripts/fetch-vnu.sh $(BIN)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint
	$(BIN)/ruff format --check .

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: packages check
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(TOGETHER) $(PYTEST_FLAGS) \
	    $(addprefix --ignore=,$(LOADS) $(ALONE))
	$(BIN)/coverage run -m pytest $(WAITING) --no-loadscope-reorder $(PYTEST_FLAGS) \
	    $(LOADS)
	$(BIN)/coverage run -m pytest $(PYTEST_FLAGS) $(ALONE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

soak: packages $(VENV)/installed-dev
	SOAK=1 $(BIN)/python -m pytest --allowed-skips=.ci/allowed-skips.txt $(PYTEST_FLAGS)
	$(MAKE) table

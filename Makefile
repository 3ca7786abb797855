# `make demo` and `make test` create what they need: Python 3.11 on x86-64 Linux is all that must be there.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo estimate plan annotate test faults format report setup setup-dev cellprofiler scanpy slurm unlock lock clean

# Another Python 3.11, where it is not called so: make demo PYTHON=/path/to/python3.11
PYTHON ?= python3.11 python3 python
# The same for CellProfiler's Python 3.9.
PYTHON39 ?= python3.9 $(wildcard $(HOME)/.pyenv/versions/3.9*/bin/python3.9)
# Further arguments of snakemake and of pytest: make demo SNAKEMAKE_ARGS="--cores 1"
SNAKEMAKE_ARGS ?=
PYTEST_ARGS ?= -n 2 --durations=15
# Parts of the names of cases, ...: make faults FAULTS_ARGS="killed --folder /tmp/faults"; `--list` names them.
FAULTS_ARGS ?=

# Jobs find the environment's programs first, and nothing of the user's own packages.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONNOUSERSITE := 1
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
# Without compiled files every job would compile again what it imports, which takes longer than most jobs.
unexport PYTHONDONTWRITEBYTECODE
# torch is a large file.
export UV_HTTP_TIMEOUT ?= 300
# Snakemake, uv and matplotlib keep caches in the user's folder; where nothing can be written there, in .snakemake.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
ifneq ($(shell mkdir -p "$(CACHE)" 2>/dev/null && test -w "$(CACHE)" && echo writable),writable)
export XDG_CACHE_HOME := $(CURDIR)/.snakemake/cache
export MPLCONFIGDIR := $(CURDIR)/.snakemake/cache/matplotlib
endif

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: .venv/.requirements ## Set up, then run the demonstration; the report is reports/demo/index.html
	@python -m phenorep.locks
	$(CELLPROFILER_IF_POSSIBLE)
	engine=()
	if [ -e .cellprofiler/.requirements ]; then
	    engine=(--config "preprocess={engine: cellprofiler, cellprofiler: .cellprofiler/bin/cellprofiler}")
	fi
	snakemake "$${engine[@]}" $(SNAKEMAKE_ARGS)

# STUDY is the name of a file in studies/, or the path of a configuration of your own.
STUDY ?= config.yaml
define FIND_STUDY
study="$(STUDY)"
if [ ! -e "$$study" ] && [ -e "studies/$$study.yaml" ]; then study="studies/$$study.yaml"; fi
endef

estimate: .venv/.requirements ## Tell what a study will take before it starts: make estimate STUDY=ws_dino
	@$(FIND_STUDY)
	python -m phenorep estimate "$$study" $(ESTIMATE_ARGS)

plan: .venv/.requirements ## Check a study's configuration and list its scores: make plan STUDY=ws_dino
	@echo "make plan checks a configuration; what a study will take is told by: make estimate STUDY=$(STUDY)" >&2
	$(FIND_STUDY)
	python -m phenorep plan "$$study"

annotate: .venv/.requirements ## Write the demonstration's page for marking images, reports/demo/annotate.html
	@python -m phenorep.locks
	snakemake annotate $(SNAKEMAKE_ARGS)

# All checks run, so that one call shows everything that is wrong; pytest's summary comes last.
test: .venv/.requirements-dev .scanpy/.requirements ## Set up, then run all checks and tests
	@$(CELLPROFILER_IF_POSSIBLE)
	$(SLURM_IF_POSSIBLE)
	failed=()
	check() { echo "== $$*"; "$$@" || failed+=("$$*"); }
	check ruff check .
	check ruff format --check .
	check snakefmt --check Snakefile workflow
	check snakemake --lint
	status=0
	OMP_NUM_THREADS=1 python -m pytest --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS) tests/e2e tests/cluster tests/faults tests/hostile tests/browser tests/workflow tests/unit || status=$$?
	for name in "$${failed[@]}"; do echo "FAILED before the tests: $$name"; status=1; done
	exit $$status

faults: .venv/.requirements-dev ## Strike a run with every fault it must survive; the outcomes are in faults.csv (20 minutes)
	@OMP_NUM_THREADS=1 python -m tests.faults --table faults.csv $(FAULTS_ARGS)

format: .venv/.requirements-dev ## Format the code
	@ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

report: .venv/.requirements ## Pack the demonstration's results into report.zip (snakemake --report)
	@snakemake --report report.zip $(SNAKEMAKE_ARGS)

unlock: .venv/.requirements ## Release the lock of a killed run, if no live process holds it
	@python -m phenorep.locks

setup: .venv/.requirements ## Create .venv with all that the workflow needs

setup-dev: .venv/.requirements-dev ## ... and with what the checks and tests need

cellprofiler: .cellprofiler/.requirements ## Install CellProfiler 4.2 in .cellprofiler (needs Python 3.9 and a JDK)

scanpy: .scanpy/.requirements ## Install scanpy in .scanpy, which the tests open exported files with

slurm: .slurm/.requirements ## Get Slurm in .slurm, which the tests start (needs apt-get)

clean: ## Remove .venv, .cellprofiler, .scanpy and .slurm (results stay)
	rm -rf .venv .cellprofiler .scanpy .slurm

# Pins change only where a .in file asks for it; UPGRADE=--upgrade takes the newest of everything.
COMPILE = uv pip compile --quiet --generate-hashes --no-header --python-platform x86_64-unknown-linux-gnu $(UPGRADE)
lock: .venv/.python ## Compile envs/*.in into envs/*.txt, with hashes
	@cd envs
	for name in uv requirements requirements-dev scanpy; do $(COMPILE) --python-version 3.11 $$name.in --output-file $$name.txt; done
	$(COMPILE) --python-version 3.9 --override cellprofiler-left-out.in cellprofiler.in --output-file cellprofiler.txt
	$(COMPILE) --python-version 3.9 cellprofiler-build.in --output-file cellprofiler-build.txt

# -- the environment ---------------------------------------------------------------------------------------------------
# A stamp is written when a step has ended well; a mark stands while it works. What was killed is so found and made again.

# Fails with a reason unless this is a Python that can hold the environment.
define IS_RIGHT
import sys
try:
    import ensurepip, venv
except ImportError as error:
    sys.exit(f"it lacks {error.name} (on Debian and Ubuntu: the package python3.11-venv)")
if sys.version_info[:2] != (3, 11) or sys.implementation.name != "cpython":
    sys.exit(f"it is {sys.implementation.name} {sys.version.split()[0]}")
endef
export IS_RIGHT

.venv/.python: envs/uv.txt
	@if [ "$$(uname -sm)" != "Linux x86_64" ]; then
	    echo "phenorep's pinned packages are those of x86-64 Linux; this is $$(uname -sm)." >&2
	    exit 1
	fi
	if [ -e .venv/.building ] || ! .venv/bin/python -c "$$IS_RIGHT"$$'\n'"import pip" >/dev/null 2>&1; then
	    found=
	    reasons=
	    for candidate in $(PYTHON); do
	        path=$$(PATH=$${PATH#*:} type -P "$$candidate") || { reasons+="  $$candidate: not found"$$'\n'; continue; }
	        if reason=$$("$$path" -c "$$IS_RIGHT" 2>&1); then found=$$path; break; fi
	        reasons+="  $$path: $$(tail -n 1 <<< "$$reason")"$$'\n'
	    done
	    if [ -z "$$found" ]; then
	        printf 'phenorep needs Python 3.11. Tried:\n%s' "$$reasons" >&2
	        echo "Install it, or name it: make demo PYTHON=/path/to/python3.11" >&2
	        exit 1
	    fi
	    echo "Creating .venv with $$found"
	    mkdir -p .venv
	    touch .venv/.building
	    find .venv -mindepth 1 -maxdepth 1 ! -name .building -exec rm -rf {} +
	    "$$found" -m venv .venv
	fi
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r envs/uv.txt
	rm -f .venv/.building
	touch $@

# A killed installation can leave a package that looks complete: then all of it is installed again.
define INSTALL
@mark=$@.installing
again=
if [ -e $$mark ]; then again=--reinstall; fi
touch $$mark
.venv/bin/uv pip install --python .venv/bin/python $$again --require-hashes -r $<
rm $$mark
touch $@
endef

.venv/.requirements: envs/requirements.txt .venv/.python
	$(INSTALL)

.venv/.requirements-dev: envs/requirements-dev.txt .venv/.requirements
	$(INSTALL)

# -- scanpy, in an environment of its own: it asks for an older pandas --------------------------------------------------

.scanpy/.requirements: envs/scanpy.txt .venv/.python
	@rm -rf .scanpy
	.venv/bin/python -m venv --without-pip .scanpy
	.venv/bin/uv pip install --python .scanpy/bin/python --require-hashes -r $<
	touch $@

# -- CellProfiler, in an environment of its own ------------------------------------------------------------------------
# `make demo` and `make test` install it where Python 3.9 and a JDK are found; else one line says why not. A `python3.9` may be
# a shim that does not run, so each is tried.

define CELLPROFILER_IF_POSSIBLE
if ! $(MAKE) --no-print-directory cellprofiler > .cellprofiler.log 2>&1; then
    echo "CellProfiler is not set up ($$(grep -m 1 '^CellProfiler needs' .cellprofiler.log || echo 'see .cellprofiler.log')): the native engine is used."
fi
endef

.cellprofiler/.requirements: envs/cellprofiler-build.txt envs/cellprofiler.txt .venv/.python
	@python39=
	for candidate in $(PYTHON39); do
	    if "$$candidate" -c "import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 9))" > /dev/null 2>&1; then python39=$$candidate; break; fi
	done
	if [ -z "$$python39" ]; then echo "CellProfiler needs Python 3.9: none of these runs: $(PYTHON39)"; exit 1; fi
	if [ -z "$${JAVA_HOME:-}" ] && javac=$$(type -P javac); then JAVA_HOME=$$(dirname "$$(dirname "$$(readlink -f "$$javac")")"); fi
	if ! [ -x "$${JAVA_HOME:-/none}/bin/javac" ]; then echo "CellProfiler needs a JDK with javac; JAVA_HOME names none"; exit 1; fi
	export JAVA_HOME
	rm -rf .cellprofiler
	"$$python39" -m venv .cellprofiler
	install() { .venv/bin/uv pip install --python .cellprofiler/bin/python --require-hashes "$$@"; }
	install -r envs/cellprofiler-build.txt
	install --no-deps --no-build-isolation-package python-javabridge -r envs/cellprofiler.txt
	HOME=$$(mktemp -d) .cellprofiler/bin/cellprofiler --version
	touch $@

# -- Slurm, from the packages of this Debian or Ubuntu; none is installed: they are unpacked in .slurm ------------------------
# The tests start it on this machine, as the user who runs them. apt-get keeps its lists in .slurm too, so it needs no root.

define SLURM_IF_POSSIBLE
if ! $(MAKE) --no-print-directory slurm > .slurm.log 2>&1; then
    echo "Slurm is not set up ($$(grep -m 1 '^Slurm needs' .slurm.log || echo 'see .slurm.log')): its tests are skipped."
fi
endef

APT = apt-get -qq -o Dir::State::lists=$(CURDIR)/.slurm/lists -o Dir::Cache=$(CURDIR)/.slurm/cache -o Debug::NoLocking=1 \
      -o APT::Sandbox::User= -o Acquire::Retries=0 -o Acquire::http::Timeout=20

.slurm/.requirements:
	@if ! type -P apt-get dpkg-deb > /dev/null; then echo "Slurm needs apt-get and dpkg-deb to be got"; exit 1; fi
	rm -rf .slurm
	mkdir -p .slurm/lists/partial .slurm/cache .slurm/root
	$(APT) update
	# What is not installed of these and of what they need.
	missing=$$($(APT) -y --no-install-recommends --print-uris install slurmctld slurmd slurm-client munge | awk '{ sub("_.*", "", $$2); print $$2 }')
	cd .slurm/cache
	if [ -n "$$missing" ]; then $(APT) download $$missing; fi
	for package in *.deb; do if [ -e "$$package" ]; then dpkg-deb -x "$$package" ../root; fi; done
	cd ../..
	# Slurm's daemons know themselves by these names, which Debian gives them when they are installed.
	mkdir -p .slurm/root/usr/sbin
	cd .slurm/root/usr/sbin
	for name in *-wlm; do if [ -e "$$name" ]; then ln -s "$$name" "$${name%-wlm}"; fi; done
	cd ../../../..
	rm -rf .slurm/lists .slurm/cache
	touch $@

# Everything a newcomer or a build machine runs. Written for plain make 3.81.
#
# The first target that needs it makes .venv; no virtual environment has to be active. The folder
# may have spaces in its name, so nothing here uses an absolute path.

# Looked at in this order; each is asked for its version, because a name proves nothing
# (pyenv's shims answer to every name). To choose one: make clean test PYTHON=/path/to/python
PYTHON =
pythons = python3.14 python3.13 python3.12 python3.11 python3

# Processes that share the tests out: one more than two cores, as much of a test is waiting.
WORKERS = 3

runtime = .venv/.runtime
dev     = .venv/.dev

# What is measured is installed as a clinic would: without development tools, which other
# libraries look for and load, and not editable, which every start would pay for.
measured = benchmarks/.venv/.measured

# Without bytecode every start of the program costs three times as much.
unexport PYTHONDONTWRITEBYTECODE

.NOTPARALLEL:
.PHONY: help demo test test-long test-image check dist bench pictures lock clean

help: ## list the targets
	@echo 'smartia-jobs: reminds the patients of a SmartIA clinic over WhatsApp'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(runtime) ## the day of a made-up clinic, through the real code; no account needed
	@.venv/bin/smartia-jobs demo

test: $(dev) ## run the tests, several at a time (WORKERS=3)
	.venv/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal

test-long: $(dev) ## run the races and soaks of many minutes
	.venv/bin/python -m pytest -m long

test-image: $(dev) ## run the Dockerfile's steps without Docker
	.venv/bin/python -m pytest -m image tests/deploy/test_image.py

check: $(dev) ## lint, formatting, types and the import rule
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# What is released. The wheel is built from the sdist, and runs where nothing else is installed.
dist: $(dev) ## build sdist and wheel into dist/, check them, run the demo from the wheel
	rm -rf dist build
	.venv/bin/python -m build --no-isolation --outdir dist .
	.venv/bin/python -m twine check --strict dist/*
	.venv/bin/python -m venv --clear build/installed
	build/installed/bin/python -m pip install -qq --disable-pip-version-check dist/*.whl
	build/installed/bin/smartia-jobs --version
	build/installed/bin/smartia-jobs demo

bench: $(measured) ## measure the speed, 20 minutes, into docs/benchmarks.md (QUICK=1: try it)
	@rm -rf build
	@benchmarks/.venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps \
		--force-reinstall .
	@benchmarks/.venv/bin/python -m benchmarks $(if $(QUICK),--quick)

# Chromium takes them; Pillow, which nothing else needs, makes them small.
pictures: $(dev) ## take the pictures of the guide again, two minutes, into docs/pictures
	@.venv/bin/python -m pip install -qq --disable-pip-version-check 'pillow>=11'
	@.venv/bin/python -m tests.pictures

lock: $(dev) ## pin the image's requirements again, with the newest versions allowed
	.venv/bin/python -m pip install -qq --disable-pip-version-check uv
	.venv/bin/uv pip compile pyproject.toml --quiet --no-config --universal --upgrade \
		--python-version 3.11 --extra postgres --extra http --group build --generate-hashes \
		--custom-compile-command 'make lock' --output-file requirements.txt

clean: ## remove .venv and everything else that was generated
	rm -rf .venv benchmarks/.venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache
	find smartia_jobs tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last and names the folder it was made in. So an environment that was left
# half made, came along with a copied folder, or lost its interpreter is made again; one that is
# merely older than pyproject.toml is brought up to date.
$(shell { [ "`cat $(runtime)`" = "`pwd`" ] && .venv/bin/python -c ''; } 2>/dev/null \
	|| rm -f $(runtime) $(dev))

$(runtime): pyproject.toml
	@$(environment)
	@echo 'Installing smartia-jobs into .venv'
	@.venv/bin/python -m pip install -qq --disable-pip-version-check --editable .
	@pwd > $@

$(dev): pyproject.toml
	@$(environment)
	@echo 'Installing smartia-jobs and its development tools into .venv (a minute or two)'
	@.venv/bin/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@pwd > $(runtime)
	@pwd > $@

$(measured): pyproject.toml
	@$(find_python); "$$python" -m venv --clear benchmarks/.venv
	@echo 'Installing what is measured into benchmarks/.venv'
	@benchmarks/.venv/bin/python -m pip install -qq --disable-pip-version-check \
		'.[bench,postgres,http]'
	@touch $@

define environment
if [ -f $(runtime) ]; then rm -f $(runtime) $(dev); exit 0; fi; \
$(find_python); \
echo "Making .venv with $$python"; \
"$$python" -m venv --clear .venv
endef

# Leaves the interpreter in $python, or says what to install and stops.
define find_python
python=; lame=; \
set -- $(pythons); if [ -n '$(PYTHON)' ]; then set -- '$(PYTHON)'; fi; \
for name do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	if "$$name" -c 'import venv, ensurepip; ensurepip.version()' >/dev/null 2>&1; then \
		python=$$name; break; \
	fi; \
	lame=$${lame:-$$name}; \
done; \
if [ -z "$$python" ]; then \
	if [ -n "$$lame" ]; then \
		version=`"$$lame" -c 'import sys; print("%d.%d" % sys.version_info[:2])'`; \
		echo "$$lame is Python $$version, but without its venv module. Install it, then run make again:"; \
		echo "  Debian, Ubuntu   sudo apt install python$$version-venv   (or python3-venv)"; \
	else \
		echo "smartia-jobs needs Python 3.11 or newer; found none as $$*."; \
		echo "Install it, then run make again:"; \
		echo '  Debian 12, Ubuntu 24.04 and newer   sudo apt install python3 python3-venv'; \
		echo '  Ubuntu 22.04                        sudo apt install python3.11 python3.11-venv'; \
		echo '  Fedora                              sudo dnf install python3'; \
		echo '  macOS with Homebrew                 brew install python'; \
		echo 'If it lies elsewhere, name it: make test PYTHON=/path/to/python'; \
	fi >&2; \
	exit 1; \
fi
endef

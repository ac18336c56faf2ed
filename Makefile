PYTHON ?= python3

# Its name has blanks; written like this both make and the shell take it as one.
constraints := {{\ cookiecutter.project_slug\ }}/constraints.txt
demo := build/demo/my-network

.PHONY: help demo test test-all test-weekly docs gallery kill bench doctor-benchmark clean

help:
	@echo "make demo    set up, bake a project, train its first experiment offline and show the result"
	@echo "make test    set up, and test the template and the projects that it bakes"
	@echo "make test-all  the same and what takes longer: launchers, several processes, kills, whole READMEs"
	@echo "make test-weekly  hold the claims of every experiment against two seeds"
	@echo "make docs    build the site from docs/ into build/site, strictly and offline"
	@echo "make gallery measure the experiments and draw their plots, continuing where it was interrupted; half an hour at first"
	@echo "make kill    kill training at 100 random moments, resume, compare bit for bit; ten minutes"
	@echo "make bench   compare the speed with a hand-written loop, the usual way and scikit-learn; half an hour, nothing else running"
	@echo "make doctor-benchmark  examine networks with known faults, and healthy ones; an hour at first"
	@echo "make clean   remove .venv, build/ and caches"

demo: .venv/installed
	@echo "Baking $(demo)"
	@rm -rf build/demo
	@.venv/bin/cookiecutter --no-input --default-config --output-dir build/demo . >/dev/null
	@cd $(demo) && WANDB_MODE=offline ../../../.venv/bin/python train.py +experiment=baseline
	@echo "Next:  cd $(demo) && source ../../../.venv/bin/activate   (there, trainwell is python -m trainwell)"

test: .venv/installed
	.venv/bin/python -m pytest

test-all: .venv/installed
	.venv/bin/python -m pytest -m 'not weekly'

test-weekly: .venv/installed
	.venv/bin/python -m pytest -m weekly

docs: .venv/installed
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --quiet
	@echo "Built build/site/index.html; to read it while you write:  .venv/bin/python -m mkdocs serve"

gallery: .venv/installed
	.venv/bin/python -m benchmarks.gallery $(notes)

kill: .venv/installed
	.venv/bin/python -m benchmarks.kill

bench: .venv/installed
	.venv/bin/python -m benchmarks.speed

doctor-benchmark: .venv/installed
	.venv/bin/python -m benchmarks.doctor $(part)

clean:
	rm -rf .venv build .hypothesis
	find . -name '.*_cache' -prune -exec rm -rf {} +
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: requirements.txt constraints.txt $(constraints)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
	{ echo "This needs Python 3.11, 3.12 or 3.13: name one, for example  make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Installing into .venv (a minute or two)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install -qq --disable-pip-version-check --no-compile \
	-c constraints.txt -r requirements.txt -r $(constraints)
	@-.venv/bin/python -m compileall -qq -j 0 -x '/tests/|/testing/_internal/' .venv/lib  # on every core, as pip does not
	@touch $@

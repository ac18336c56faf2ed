PYTHON ?= python3

# Its name has blanks; written like this both make and the shell take it as one.
constraints := {{\ cookiecutter.project_slug\ }}/constraints.txt
demo := build/demo/my-network

.PHONY: help demo test gallery kill bench doctor-benchmark clean

help:
	@echo "make demo    set up, bake a project, train its first experiment offline and show the result"
	@echo "make test    set up, and test the template and the projects that it bakes"
	@echo "make gallery measure the lab notes and draw their pictures, going on where it was stopped; half an hour at first"
	@echo "make kill    kill training at 50 random moments, go on, compare bit for bit; five minutes"
	@echo "make bench   measure speed beside a loop by hand, the usual way and scikit-learn; half an hour, nothing else running"
	@echo "make doctor-benchmark  let the doctor examine networks of which it is known what is wrong; an hour at first"
	@echo "make clean   remove .venv, build/ and caches"

demo: .venv/installed
	@echo "Baking $(demo)"
	@rm -rf build/demo
	@.venv/bin/cookiecutter --no-input --default-config --output-dir build/demo . >/dev/null
	@cd $(demo) && WANDB_MODE=offline ../../../.venv/bin/python train.py +experiment=baseline
	@echo "To go on:  cd $(demo) && source ../../../.venv/bin/activate"

test: .venv/installed
	.venv/bin/python -m pytest

gallery: .venv/installed
	.venv/bin/python benchmarks/gallery.py $(notes)

kill: .venv/installed
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/kill.py

bench: .venv/installed
	.venv/bin/python benchmarks/speed.py

doctor-benchmark: .venv/installed
	.venv/bin/python benchmarks/doctor_benchmark.py $(half)

clean:
	rm -rf .venv build .hypothesis
	find . -name '.*_cache' -prune -exec rm -rf {} +
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: requirements.txt constraints.txt $(constraints)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
	{ echo "This needs Python 3.11, 3.12 or 3.13: name one, for example  make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Installing into .venv (a minute or two)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install -qq --disable-pip-version-check \
	-c constraints.txt -r requirements.txt -r $(constraints)
	@touch $@

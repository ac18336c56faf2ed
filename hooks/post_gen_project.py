"""Give the plain Python of the template the package's real name, and say what to do next."""

import re
import shlex
from pathlib import Path

project = Path.cwd()

for path in [*project.glob("*.py"), *project.glob("*.ipynb"), *project.glob("tests/**/*.py")]:
    path.write_text(re.sub(r"\byour_package\b", "{{ cookiecutter.package_name }}", path.read_text("utf-8")), "utf-8")

print(f"""
Baked {project.name}. Next:

  cd {shlex.quote(str(project))}
  make setup                              # an environment in .venv, in a minute or two
  source .venv/bin/activate
  python train.py +experiment=baseline
  make test
""")

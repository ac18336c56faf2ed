"""The project's own package, tested in a bake: what its suite leaves to the template, because owners rarely edit it.

``my_network`` and ``tests`` are those of the bake, so these tests share the set-ups of the project's suite:
``from tests.fitting import ...``, ``from tests.test_data import ...``. The machinery is that of the template, in place.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[2]
FOLDER = TemporaryDirectory(prefix="package-")  # removed when Python ends

settings = {"replay_dir": f"{FOLDER.name}/replay"}  # not in the developer's home
PROJECT = cookiecutter(str(TEMPLATE), no_input=True, default_config=settings, output_dir=FOLDER.name)

sys.path.insert(0, str(TEMPLATE / "{{ cookiecutter.project_slug }}"))
sys.dont_write_bytecode = True  # what lies in the template is baked with it
import trainwell  # noqa: E402, F401  (before there is another one in the bake)

sys.path.insert(0, PROJECT)
from tests.conftest import empty_folder  # noqa: E402, F401  (used by every test here)


def pytest_pycollect_makemodule() -> None:
    """Look for ``tests`` in the bake first, also if tests/trainwell/conftest.py has been read since."""
    sys.path.remove(PROJECT)
    sys.path.insert(0, PROJECT)

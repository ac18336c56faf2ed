"""Commands in processes that are forked from one which has imported Lightning already.

Importing takes most of the time of a short command, and the tests run hundreds of them. What depends on how Python
itself starts, such as launchers, ranks and an interpreter's environment variables, is run with ``subprocess`` instead.
"""

import atexit
import multiprocessing
import os
import runpy
import sys
import tempfile
from multiprocessing.reduction import DupFd
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import IO

TIMEOUT = 300  # seconds

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["lightning.pytorch", "torchmetrics", "hydra", "scipy.stats"])


def run(program: list[str], folder: Path, environment: dict[str, str]) -> CompletedProcess[str]:
    """As ``subprocess.run([sys.executable, *program], ...)``, with the output captured."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, so by the server
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        streams = [DupFd(output.fileno()), DupFd(errors.fileno())]
        process = context.Process(target=child, args=(program, str(folder), environment, streams))
        process.start()
        process.join(TIMEOUT)
        if process.exitcode is None:
            process.kill()
            raise TimeoutExpired(program, TIMEOUT)
        return CompletedProcess(program, process.exitcode, text_of(output), text_of(errors))


def text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


def child(program: list[str], folder: str, environment: dict[str, str], streams: list[DupFd]) -> None:
    """What the forked process does."""
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream.detach(), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    of_python = (sys.prefix, sys.base_prefix)  # but neither the template's folders nor those of the tests
    sys.path[:] = [folder, *(path for path in sys.path if path.startswith(of_python))]
    multiprocessing.current_process().name = "MainProcess"
    try:
        if program[0] == "-m":
            sys.argv = program[1:]
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = program
            runpy.run_path(program[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out

"""Terminal output: what this package logs, as plain lines, and warnings of libraries."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

OWN = __name__.partition(".")[0]
VERBATIM = (f"{OWN}.", "lightning.pytorch.profilers.")  # the latter for trainer.profiler=simple
QUIET: dict[str, Any] = dict(  # a Trainer that writes nothing
    logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
)


def set_up_output() -> None:
    """Print log records to standard output, characters that its encoding lacks as question marks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    logging.basicConfig(handlers=[plain(Terminal(sys.stdout))], level=logging.INFO)
    logging.captureWarnings(True)
    quiet_lightning()


def quiet_lightning() -> None:
    """Leave out the tips that each Trainer prints, and warnings of Lightning 2.6 that a user cannot act on.

    What ``trainer.profiler=simple`` reports stays.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # resume=RUN
    warnings.filterwarnings("ignore", message=r".*accumulate_grad_batches != 1.* and overriding")  # for compile=graph
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")


@contextlib.contextmanager
def quiet_terminal() -> Iterator[None]:
    """Show only warnings in the terminal; log files get everything."""
    handlers = logging.getLogger().handlers
    levels = {handler: handler.level for handler in handlers if isinstance(handler, Terminal)}
    for handler in levels:
        handler.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for handler, level in levels.items():
            handler.setLevel(level)


def terminal_is_quiet() -> bool:
    handlers = logging.getLogger().handlers
    return any(isinstance(handler, Terminal) and handler.level >= logging.WARNING for handler in handlers)


class Terminal(logging.StreamHandler[TextIO]):
    """Standard output, above progress bars; where a pipe such as ``| head`` closes it, the command goes on without."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm = sys.modules.get("tqdm")  # not imported: there are no progress bars
        with tqdm.tqdm.external_write_mode() if tqdm else contextlib.nullcontext():
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(sys.exception(), BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            super().handleError(record)


class LogFile(logging.FileHandler):
    """A log file that may be incomplete where its disk is full: the terminal has shown everything."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


def copy_to(path: Path) -> logging.Handler:
    """From here on, also write to a file what the terminal shows; the caller removes the handler."""
    handler = plain(LogFile(path, encoding="utf-8"))
    logging.getLogger().addHandler(handler)
    return handler


def plain(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(is_shown)
    return handler


def is_shown(record: logging.LogRecord) -> bool:
    """Warnings of everybody, and what this package and files of the project say, as techniques do."""
    path = Path(record.pathname)
    of_project = Path.cwd() in path.parents and "site-packages" not in path.parts
    return of_project or record.levelno >= logging.WARNING or record.name.startswith(VERBATIM)

"""What the terminal says: what the package logs, as it is, and of the libraries only warnings."""

import contextlib
import logging
import sys
import warnings
from pathlib import Path

SPEAKERS = (f"{__package__}.", "lightning.pytorch.profilers.")  # the latter when asked to, by trainer.profiler=simple


def speak_plainly() -> None:
    """Print log records to standard output."""
    logging.basicConfig(handlers=[plain(logging.StreamHandler(sys.stdout))], level=logging.INFO)
    logging.captureWarnings(True)
    # Lightning 2.6 with torch 2.13; nothing that a user could mend.
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # resume=RUN
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")


class LogFile(logging.FileHandler):
    """A file that is content with less where its disk is full: the terminal has said it all."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


def copy_to(path: Path) -> logging.Handler:
    """Write to a file, from here on, what the terminal says; the handler is the caller's to remove."""
    handler = plain(LogFile(path, encoding="utf-8"))
    logging.getLogger().addHandler(handler)
    return handler


def plain(handler: logging.Handler) -> logging.Handler:
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(lambda record: record.name.startswith(SPEAKERS) or record.levelno >= logging.WARNING)
    return handler

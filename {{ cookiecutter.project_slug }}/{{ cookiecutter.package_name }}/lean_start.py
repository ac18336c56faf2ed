"""Importing Lightning without what no run needs, a quarter of its time."""

import gc
import sys
from typing import Any

UNUSED = ("scipy", "matplotlib")  # torchmetrics, which Lightning imports, looks for them to patch and to plot


def import_lightning() -> None:
    """Import Lightning as if ``UNUSED`` were not installed; whoever imports them later gets them as ever.

    Only the plots of torchmetrics' own metrics cannot be had in this process.
    """
    if "lightning" in sys.modules:
        return
    from unittest.mock import patch

    from lightning_utilities.core.imports import RequirementCache

    modules: dict[str, Any] = sys.modules  # None in it stands for what cannot be imported
    hidden = [name for name in UNUSED if name not in modules]
    is_there = RequirementCache.__bool__
    modules.update(dict.fromkeys(hidden))
    try:
        with patch.object(RequirementCache, "__bool__", lambda it: it.requirement not in hidden and is_there(it)):
            import lightning  # noqa: F401
    finally:
        for name in hidden:
            del modules[name]
    gc.freeze()  # a million objects that stay: the collector of garbage need not go through them again and again

"""Importing Lightning without what no run needs, a quarter of its time."""

import sys

UNUSED = ("scipy", "matplotlib")  # torchmetrics, which Lightning imports, looks for them to patch and to plot


def import_lightning() -> None:
    """Import Lightning as if ``UNUSED`` were not installed; whoever imports them later gets them as ever.

    Only the plots of torchmetrics' own metrics cannot be had in this process.
    """
    from lightning_utilities.core.imports import RequirementCache

    is_there = RequirementCache.__bool__
    hidden = [name for name in UNUSED if name not in sys.modules]
    RequirementCache.__bool__ = lambda wanted: wanted.requirement not in hidden and is_there(wanted)  # type: ignore[method-assign]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        import lightning  # noqa: F401
    finally:
        RequirementCache.__bool__ = is_there  # type: ignore[method-assign]
        for name in hidden:
            del sys.modules[name]

"""A network of your own: any callable that returns a module."""

from collections.abc import Callable, Sequence
from pkgutil import resolve_name

from torch import nn


def custom(*, factory: str) -> Callable[[Sequence[int], int], nn.Module]:
    """Import your own network: ``factory`` names a callable that takes ``(in_shape, num_outputs)``.

    Raises: ValueError: no such callable.
    """
    try:
        return resolve_name(factory)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            "network.factory must name a function or class that can be imported from here, such as my_models.build; "
            f"got {factory} ({error})"
        ) from error

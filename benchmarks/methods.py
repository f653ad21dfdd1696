"""A method: one way of doing a piece of work, where it is and what it needs."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

INSTALL = "pip install mmgraph[bench]"


@dataclass(frozen=True)
class Method:
    """One way with one setting.

    Attributes:
        place: ``module:function``, or ``module:Class``.
        options: Passed on to it.
        exact: Whether it compares all pairs, so that its share of the GEMM peak means something.
        needs: Module that must be importable.
        install: How to get it.
    """

    place: str
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    needs: str | None = None
    install: str = INSTALL

    def load(self) -> Callable[..., Any]:
        """Import and return the function."""
        module, _, name = self.place.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function

    def is_missing(self) -> bool:
        """Return whether the library it needs is not installed."""
        return self.needs is not None and importlib.util.find_spec(self.needs) is None

"""What a benchmark consists of; each has a folder whose ``benchmark.py`` holds its ``BENCHMARK``."""

import argparse
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cells import Cell
from benchmarks.choice import Choice
from benchmarks.columns import Column
from benchmarks.methods import Method
from benchmarks.tasks import Task
from mmgraph.errors import ConfigError, nearest

NAMES = ("graph", "training", "evaluation")

Profile = Callable[[Sequence[str]], Iterator[Cell]]
"""Yields the cells for the names of some data sets."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: its cells, its methods, its work.

    Attributes:
        name: Its command, its folder, and ``benchmark`` in every line.
        summary: One sentence for the help.
        examples: What the help shows after the options.
        cell: Class of its cells.
        methods: Kind of work -> name -> method.
        baselines: Kind of work -> whose seconds are divided by those of the others of a cell.
        sections: Parts of the page.
        made: Kinds of work that are about no data set.
        columns: Figures of a line that its tables show.
        make_task: Prepares the input of a cell: cell, place of its data set, folder for files.
        profiles: Name -> profile.
        add_options: Adds what only this benchmark has to the groups "what of the profile" and "in
            place of what the profile says".
        choice: Makes the choice from the general options and the parsed ones.
    """

    name: str
    summary: str
    examples: str
    cell: type[Cell]
    methods: Mapping[str, Mapping[str, Method]]
    baselines: Mapping[str, tuple[str, ...]]
    sections: tuple[str, ...]
    made: tuple[str, ...]
    columns: tuple[Column, ...]
    make_task: Callable[[Any, str, Path], Task]
    profiles: Mapping[str, Profile]
    add_options: Callable[[argparse._ArgumentGroup, argparse._ArgumentGroup], None]
    choice: Callable[[Mapping[str, Any], argparse.Namespace], Choice]

    def find_method(self, what: str, name: str) -> Method:
        """Return a method by name.

        Raises:
            ConfigError: There is none of that name.
        """
        known = self.methods[what]
        if name not in known:
            raise ConfigError(f"method {name!r} of {what} does not exist{nearest(name, known)}")
        return known[name]

    def method_names(self) -> list[str]:
        """Return all names, each once."""
        return list(dict.fromkeys(name for methods in self.methods.values() for name in methods))


def load_benchmark(name: str) -> Benchmark:
    """Return a benchmark by name, one of ``NAMES``."""
    found: Benchmark = importlib.import_module(f"benchmarks.{name}.benchmark").BENCHMARK
    return found

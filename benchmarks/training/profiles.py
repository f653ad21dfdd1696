"""Which cells a profile has, and what the options leave of them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cells import OURS, PLAIN
from benchmarks.choice import Choice
from benchmarks.training.cells import TrainingCell
from benchmarks.training.methods import METHODS
from mmgraph.models.catalogue import describe_models

BABY: dict[str, Any] = {"users": 19_445, "items": 7_050, "edges": 118_551}
"""Users, items and training interactions of amazon-baby."""
_BOTH = (OURS, PLAIN)
_PRECISIONS = (OURS, "bfloat16", PLAIN)
_HOUR = 3600.0
_USERS_SHARE, _DEGREE = 0.7, 10


def sizes(edges: int) -> dict[str, Any]:
    """Return the numbers of made users, items and edges: ten edges for each node, seven users for three items.

    Example:
        >>> sizes(10_000_000)
        {'users': 700000, 'items': 300000, 'edges': 10000000}
    """
    nodes = edges // _DEGREE
    users = round(_USERS_SHARE * nodes)
    return {"users": users, "items": nodes - users, "edges": edges}


def fast(datasets: Sequence[str]) -> Iterator[TrainingCell]:
    """Yield small cells that finish within two minutes on an ordinary machine."""
    for name in datasets:
        yield TrainingCell("duel", "epoch", _BOTH, name, repeats=3, time_limit=300)
        for way in _BOTH:
            yield TrainingCell("alone", "epoch", (way,), name, time_limit=300)
    yield _wide("step", "freedom", _BOTH, steps=4, repeats=2, time_limit=300)
    yield _wide("step", "margo", _PRECISIONS, steps=4, repeats=2, time_limit=300)
    yield _product(100_000, repeats=3, time_limit=120)
    for edges in (100_000, 300_000):
        yield _lightgcn(edges, repeats=1, time_limit=120)


def regular(datasets: Sequence[str]) -> Iterator[TrainingCell]:
    """Yield epochs next to the plain way, wide features, backends, growth to 10^7, precision."""
    for name in datasets:
        yield TrainingCell("duel", "epoch", _BOTH, name, repeats=5, time_limit=2 * _HOUR)
        for way in _BOTH:
            yield TrainingCell("alone", "epoch", (way,), name, time_limit=_HOUR)
    for model, ways in (("freedom", _BOTH), ("margo", _PRECISIONS)):
        yield _wide("step", model, ways, steps=8, repeats=5, time_limit=_HOUR)
        for way in ways:
            yield _wide("alone", model, (way,), steps=4, time_limit=_HOUR)
    for name in datasets:
        for model in systems():
            yield TrainingCell("systems", "system", _BOTH, name, model, repeats=3, time_limit=_HOUR)
    for entries in (100_000, 1_000_000, 10_000_000):
        yield _product(entries, repeats=5, time_limit=_HOUR)
    for edges in (100_000, 316_228, 1_000_000, 3_162_278):
        yield _lightgcn(edges, repeats=3, time_limit=_HOUR)
    yield _lightgcn(10_000_000, repeats=2, time_limit=_HOUR)
    for dim in (16, 32, 128, 256):
        yield _lightgcn(1_000_000, dim=dim, repeats=3, time_limit=_HOUR)
    for layers in (1, 3, 4):
        yield _lightgcn(1_000_000, layers=layers, repeats=3, time_limit=_HOUR)
    for name in datasets:
        for seed in range(3):
            yield TrainingCell(
                "precision",
                "fit",
                ("float32", "bfloat16"),
                name,
                epochs=20,
                seed=seed,
                time_limit=2 * _HOUR,
            )


def systems() -> list[str]:
    """Return the names of all models that are trained, by year.

    Example:
        >>> systems()[:3]
        ['bpr_mf', 'vbpr', 'maml']
    """
    return [model.name for model in describe_models() if model.name != "cb"]


PROFILES: dict[str, Callable[[Sequence[str]], Iterator[TrainingCell]]] = {
    "fast": fast,
    "regular": regular,
}


def _wide(section: str, model: str, methods: tuple[str, ...], **more: Any) -> TrainingCell:
    return TrainingCell(section, "step", methods, "made", model, **BABY, **more)


def _product(entries: int, **more: Any) -> TrainingCell:
    return TrainingCell(
        "kernels", "product", tuple(METHODS["product"]), "made", **sizes(entries), **more
    )


def _lightgcn(edges: int, **more: Any) -> TrainingCell:
    return TrainingCell("scaling", "step", (OURS,), "made", **sizes(edges), steps=4, **more)


@dataclass(frozen=True)
class TrainingChoice(Choice):
    """What the user asked for.

    Attributes:
        edges: Interactions or entries of the made data that is left.
        dim: Widths of the vectors that are left.
        layers: Depths that are left.
        models: Systems that are left.
        batch: Triples a step, in place of those of the profile.
        epochs: Epochs of ``fit``, in place of those of the profile.
    """

    edges: Sequence[int] = ()
    dim: Sequence[int] = ()
    layers: Sequence[int] = ()
    models: Sequence[str] = ()
    batch: int | None = None
    epochs: int | None = None

    def variants(self, cell: Any) -> Iterator[Any]:
        """Yield the cell with the batch and the epochs asked for."""
        epochs = (self.epochs or cell.epochs) if cell.what == "fit" else cell.epochs
        batch = cell.batch if cell.what == "product" else self.batch or cell.batch
        yield dataclasses.replace(cell, batch=batch, epochs=epochs)

    def allows(self, cell: Any) -> bool:
        """Return whether the sizes are among those asked for."""
        wanted = ((self.dim, cell.dim), (self.layers, cell.layers), (self.models, cell.model))
        made = cell.data == "made"
        return all(not few or value in few for few, value in wanted) and (
            not made or not self.edges or cell.edges in self.edges
        )

"""Cells of the training benchmark."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.cells import Cell

What = Literal["epoch", "step", "product", "fit", "system"]
SECTIONS = ("duel", "step", "systems", "alone", "kernels", "scaling", "precision")

FEATURE_WIDTHS = {"image": 4096, "text": 384}
"""Modalities of the made items."""
WIDE_MODELS = ("freedom", "margo")
"""Models that train with them."""


@dataclass(frozen=True)
class TrainingCell(Cell):
    """Training.

    ``what`` is ``epoch`` for a LightGCN epoch on a data set, ``step`` for steps of a model on made
    interactions, ``product`` for one sparse product forward and backward, ``fit`` for some epochs
    with validation, ``system`` for an epoch of any model from its recipe.
    ``data`` is ``made`` or the name of a data set.

    Attributes:
        model: ``lightgcn``, ``freedom``, or ``margo`` on DRAGON; for ``system`` any.
        users: Of made data; 0 where the data set says how many.
        items: The same.
        edges: Interactions of made data; for ``product`` the entries of the matrix.
        dim: Width of the vectors.
        layers: Depth on the user-item graph.
        batch: Triples a step.
        steps: Steps of a call of ``step``; the first is not counted.
        epochs: Epochs of ``fit``.
    """

    what: What
    model: str = "lightgcn"
    users: int = 0
    items: int = 0
    edges: int = 0
    dim: int = 64
    layers: int = 2
    batch: int = 2048
    steps: int = 0
    epochs: int = 0

    @property
    def wide(self) -> bool:
        """Whether the model has features to train with."""
        return self.model in WIDE_MODELS

    def title(self) -> str:
        """Return a short description without the methods.

        Example:
            >>> TrainingCell("kernels", "product", ("csr",), "made", edges=100_000).title()
            '100,000 entries x 64'
        """
        if self.what == "product":
            return f"{self.edges:,} entries x {self.dim}"
        depth = f"{self.layers} layer{'s' if self.layers > 1 else ''}"
        if self.what == "step" and self.wide:
            widths = " + ".join(f"{width:,}" for width in FEATURE_WIDTHS.values())
            return f"{self.model}, {self.items:,} items x ({widths}), {self.edges:,} interactions"
        if self.what == "step":
            return f"{self.model}, {self.edges:,} interactions, {self.dim} dimensions, {depth}"
        if self.what == "system":
            return f"{self.model} on {self.data}, batch {self.batch:,}"
        if self.what == "fit":
            return f"{self.model} on {self.data}, {self.epochs} epochs, seed {self.seed}"
        return f"{self.model} on {self.data}, {self.dim} dimensions, {depth}, batch {self.batch:,}"

"""The least that a LightGCN epoch has to move and to compute, phase by phase."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2
from typing import Any

_FLOAT, _INDEX, _KEY = 4, 4, 8
_ADAM_ARRAYS, _ADAM_FLOPS = 7, 12


@dataclass(frozen=True)
class Amount:
    """What one phase of one epoch needs.

    Attributes:
        bytes: With every array read or written once by each operation that needs it.
        gathered: The same with every row that a sparse product reads for an edge, which caches may spare.
        flops: Additions and multiplications.
    """

    bytes: float
    gathered: float
    flops: float

    def bound_s(self, gbytes: float, gflops: float) -> float:
        """Return the seconds that no implementation can go below at these rates."""
        return max(self.bytes / gbytes, self.flops / gflops) / 1e9


def lightgcn_epoch(
    *, num_nodes: int, num_pairs: int, dim: int, num_layers: int, batch: int
) -> dict[str, Amount]:
    """Return the amounts of ``sampler``, ``forward``, ``backward`` and ``optimiser``.

    A product reads its rows and the matrix (a column and a weight for each entry, a pointer for each
    row) and writes as many rows. The mean of the layers reads each of them and writes one table; its
    gradient is as large. The loss reads six rows for each triple and their gradient is added to a
    table. Adam reads four arrays of the size of the tables and writes three. The sampler reads and
    writes a permutation and three columns, and looks each negative up by bisection.

    Example:
        >>> amounts = lightgcn_epoch(num_nodes=3, num_pairs=2, dim=1, num_layers=0, batch=2)
        >>> amounts["optimiser"]
        Amount(bytes=84, gathered=84, flops=36)
    """
    table = num_nodes * dim * _FLOAT
    entries, steps = 2 * num_pairs, -(-num_pairs // batch)
    matrix = entries * (_INDEX + _FLOAT) + num_nodes * _INDEX
    rows = 6 * batch * dim * _FLOAT
    once = num_layers * (2 * table + matrix) + (num_layers + 2) * table + rows
    gathered = once + num_layers * (entries * dim * _FLOAT - table)
    flops = 2 * entries * dim * num_layers + (num_layers + 1) * num_nodes * dim
    dots = 10 * batch * dim
    columns = num_pairs * _KEY * (2 + 6)
    lookups = num_pairs * _KEY * log2(max(num_pairs, 2))
    return {
        "sampler": Amount(columns, columns + lookups, 0),
        "forward": Amount(steps * once, steps * gathered, steps * (flops + dots)),
        "backward": Amount(
            steps * (once + table), steps * (gathered + table), steps * (flops + 2 * dots)
        ),
        "optimiser": Amount(
            steps * _ADAM_ARRAYS * table,
            steps * _ADAM_ARRAYS * table,
            steps * _ADAM_FLOPS * num_nodes * dim,
        ),
    }


def bounds(
    amounts: Mapping[str, Amount], phases: Mapping[str, float], *, gbytes: float, gflops: float
) -> dict[str, dict[str, Any]]:
    """Return for each phase its amounts, its bound, and the share of the bound in what it took.

    Args:
        amounts: Of an epoch.
        phases: Seconds that they took.
        gbytes: 10^9 bytes a second that the machine reaches.
        gflops: 10^9 operations a second that it reaches.

    Returns:
        ``share`` is the bound over the seconds: 1 is the limit of the machine; ``gathered_share`` counts
        gathered rows as moved, and is above 1 where caches hold them.
    """
    found = {}
    for name, amount in amounts.items():
        bound, seconds = amount.bound_s(gbytes, gflops), max(phases.get(name, 0.0), 1e-9)
        found[name] = {
            "gbytes": amount.bytes / 1e9,
            "gathered_gbytes": amount.gathered / 1e9,
            "gflop": amount.flops / 1e9,
            "bound_s": bound,
            "share": bound / seconds,
            "gathered_share": amount.gathered / gbytes / 1e9 / seconds,
        }
    return found

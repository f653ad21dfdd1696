"""One sparse product, forward and backward, by every backend and by other libraries."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.nn import LGConv

from benchmarks.laps import Laps
from benchmarks.tasks import Outcome
from benchmarks.training.cells import TrainingCell
from benchmarks.training.made import made_pairs
from mmgraph.nn import joint_adjacency
from mmgraph.sparse import SparseAdjacency, choose_backend, matmul

_SAMPLE_ROWS = 200

Product = Callable[[Tensor], Tensor]


class ProductInputs:
    """A joint user-item matrix with symmetric weights, rows to multiply it with, and gradients to bring back.

    Args:
        cell: Says how many entries; every interaction is one above and one below the diagonal.
    """

    def __init__(self, cell: TrainingCell) -> None:
        self.cell = cell
        user, item = made_pairs(cell.users, cell.items, cell.edges // 2, cell.seed)
        edges = torch.from_numpy(np.stack([user, item]))
        degree = [torch.bincount(side).double() for side in edges]
        weight = ((degree[0][edges[0]] * degree[1][edges[1]]) ** -0.5).float()
        adj = joint_adjacency(
            (edges, weight),
            (edges.flip(0), weight),
            num_users=cell.users,
            num_items=cell.items,
        )
        self.adj: SparseAdjacency = adj.to(cell.device)
        generator = torch.Generator().manual_seed(cell.seed)
        shape = (cell.users + cell.items, cell.dim)
        self.x = torch.randn(shape, generator=generator).to(cell.device).requires_grad_()
        self.upstream = torch.randn(shape, generator=generator).to(cell.device)

    def backend(self) -> str:
        """Return the name of the backend that the library chooses here."""
        return choose_backend(self.cell.device, num_edges=self.adj.num_edges)

    def run(self, product: Product, settings: Mapping[str, str]) -> Outcome:
        """Multiply and bring the gradient back."""
        self.x.grad = None
        laps = Laps(self.cell.device)
        out = product(self.x)
        laps.lap("forward")
        out.backward(self.upstream)
        laps.lap("backward")
        assert self.x.grad is not None
        return Outcome(laps.seconds, dict(settings), (out.detach(), self.x.grad))

    def error(self, value: tuple[Tensor, Tensor]) -> float:
        """Return the largest difference from float64 in a sample of rows, of the product and of the gradient."""
        rng = np.random.default_rng([self.cell.seed, 5])
        count = self.adj.size[0]
        rows = np.sort(rng.choice(count, size=min(_SAMPLE_ROWS, count), replace=False))
        # The matrix is symmetric: its transpose has the same rows.
        wanted = [self._rows(rows, x) for x in (self.x.detach(), self.upstream)]
        return max(
            float(np.abs(found.cpu().numpy()[rows] - right).max())
            for found, right in zip(value, wanted, strict=True)
        )

    def _rows(self, rows: NDArray[np.int64], x: Tensor) -> NDArray[np.float64]:
        bounds, col, value = (
            tensor.cpu().numpy() for tensor in (self.adj.rowptr, self.adj.col, self.adj.value)
        )
        dense, sums = x.cpu().numpy(), []
        for row in rows:
            part = slice(bounds[row], bounds[row + 1])
            sums.append(value[part].astype(np.float64) @ dense[col[part]].astype(np.float64))
        return np.array(sums)


def backend_product(inputs: ProductInputs, options: Mapping[str, Any]) -> Product:
    """Return the product of the library, by the backend it chooses if none is named."""
    backend = options.get("backend")
    return lambda x: matmul(inputs.adj, x, backend=backend)


def pyg_product(inputs: ProductInputs, options: Mapping[str, Any]) -> Product:
    """Return PyG's LGConv on a plain edge_index, with the same weights."""
    edge_index, layer = inputs.adj.edge_index(), LGConv(normalize=False)
    return lambda x: layer(x, edge_index, inputs.adj.value)


def coo_product(inputs: ProductInputs, options: Mapping[str, Any]) -> Product:
    """Return torch's product with a COO matrix."""
    index, size = inputs.adj.edge_index().flip(0), inputs.adj.size
    matrix = torch.sparse_coo_tensor(index, inputs.adj.value, size, check_invariants=False)
    matrix = matrix.coalesce()
    return lambda x: torch.sparse.mm(matrix, x)

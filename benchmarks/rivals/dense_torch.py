"""Brute force in torch: similarities by a matrix product, then ``topk``; all rows at once or in blocks."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.bound import synchronize
from benchmarks.rivals.answer import PREPARE, Neighbours, phase

Edges = tuple[Tensor, Tensor]
"""``edge_index`` (2, num_edges) sorted by target then source, and ``edge_weight`` (num_edges,)."""


def search(
    x: NDArray[Any], k: int, *, threads: int, seed: int, device: str, options: Mapping[str, Any]
) -> Neighbours:
    """Return the k nearest other rows by cosine, as far as float32 tells them apart.

    Options: ``block``, rows at a time; all of them, and so the whole N x N matrix, if not given.
    """
    torch.set_num_threads(threads)
    seconds: dict[str, float] = {}
    with phase(seconds, PREPARE):
        rows = torch.from_numpy(np.asarray(x, dtype=np.float32)).to(device)
        unit = torch.nn.functional.normalize(rows, dim=1)
        synchronize(device)
    with phase(seconds, "search"):
        parts = []
        step = int(options.get("block", len(unit)))
        for start in range(0, len(unit), step):
            similarity = unit[start : start + step] @ unit.T
            own = torch.arange(len(similarity), device=device)
            similarity[own, own + start] = -math.inf
            parts.append(similarity.topk(k, dim=1).indices)
            del similarity
        lists = torch.cat(parts).cpu().numpy()
    return Neighbours(lists, seconds)


def dense_bytes(rows: int, dim: int) -> int:
    """Return the bytes that all similarities at once take, beside the unit rows."""
    return 4 * rows * rows + 4 * rows * dim


def dense_knn(x: Tensor, present: Tensor, k: int) -> Edges:
    """Connect each item to its ``k`` nearest by cosine, from the whole matrix of similarities."""
    rows = torch.nonzero(present & (x != 0).any(dim=1)).squeeze(1)
    unit = torch.nn.functional.normalize(x[rows], dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-math.inf)
    weight, neighbour = similarity.topk(k, dim=1)
    source, target = rows[neighbour.flatten()], rows.repeat_interleave(k)
    order = torch.argsort(target * len(x) + source)
    return torch.stack([source, target])[:, order], weight.flatten()[order]

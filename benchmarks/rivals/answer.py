"""What a rival answers, and the steps that several of them share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

PREPARE = "prepare"
"""The phase that brings rows to length one; a comparison with FAISS leaves FAISS's out."""


@dataclass(frozen=True)
class Neighbours:
    """The lists of a neighbour search.

    Attributes:
        index: (rows, k) numbers of the neighbours, nearest first; -1 where nothing was found.
        seconds: Phases, in order.
        settings: What the method decided or was told, for the record.
    """

    index: NDArray[np.int64]
    seconds: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """The edges of a co-interaction graph.

    Attributes:
        source: Neighbour of each edge.
        target: The node that receives it.
        seconds: Phases, in order.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    seconds: dict[str, float] = field(default_factory=dict)


@contextmanager
def phase(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note the seconds of a block under a name."""
    begin = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - begin


def unit_rows(x: NDArray[Any]) -> NDArray[np.float32]:
    """Return the rows with length one as contiguous float32; rows of zeros stay zeros."""
    rows = np.array(x, dtype=np.float32, order="C")
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows /= np.where(length > 0, length, 1)[:, None]
    return rows


def incidence_pair(
    user: NDArray[np.integer], item: NDArray[np.integer], shape: tuple[int, int], side: str
) -> tuple[Any, Any]:
    """Return the two CSR matrices of ones whose product counts what the nodes of a side share."""
    ones = np.ones(len(user), dtype=np.int32)
    matrix = sp.csr_array((ones, (user, item)), shape=shape)
    if side == "user":
        matrix = matrix.T.tocsr()
    return matrix.T.tocsr(), matrix


def drop_self(found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Remove from each list of k + 1 the row itself, or the last one where it is not in the list."""
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    others: NDArray[np.int64] = found[~own].reshape(len(found), found.shape[1] - 1)
    return others

"""Neighbour lists of one length, short ones filled up with random repeats."""

import numpy as np
import torch
from torch import Tensor

_ROWS = 1 << 16  # rows that draw at once


def neighbour_repeats(rowptr: Tensor, *, seed: int = 0, epoch: int = 0) -> Tensor:
    """Return how often each neighbour stands in its list, once all lists are filled up to the longest.

    A list is filled one by one with a random copy of what already stands in it. That makes every way to divide the
    places among the neighbours equally likely, so all copies of a list are drawn at once: by random cuts between the
    places. The same seed and epoch give the same numbers on any device and with any number of threads.

    Source: the released code of DualGNN (Wang et al., 2021), sampling of the users' neighbours.

    Args:
        rowptr: Where the neighbours of each node begin and end, as in ``SparseAdjacency.rowptr``.
        seed: Seed of the run.
        epoch: Number of the epoch; each has numbers of its own.

    Shapes:
        rowptr (num_nodes + 1,); returns (num_edges,) int64.

    Complexity: O(num_nodes * longest log longest) time.

    Example:
        >>> times = neighbour_repeats(torch.tensor([0, 1, 1, 5, 7]))
        >>> times[:5].tolist(), times[5:].sum().item()
        ([4, 1, 1, 1, 1], 4)
    """
    device, rowptr = rowptr.device, rowptr.long().cpu()
    counts = rowptr.diff()
    longest = int(counts.max()) if counts.numel() else 0
    times = torch.ones(int(rowptr[-1]), dtype=torch.int64)
    if longest < 2:
        return times.to(device)
    random = np.random.default_rng((seed, epoch))
    for rows in ((counts > 0) & (counts < longest)).nonzero().squeeze(1).split(_ROWS):
        num_cuts = counts[rows] - 1
        order = torch.from_numpy(random.random((len(rows), longest - 1)).argsort(axis=1))
        cuts = torch.zeros(len(rows), longest, dtype=torch.int64)
        cuts.scatter_(1, order + 1, (torch.arange(longest - 1) < num_cuts[:, None]).long())
        edge = rowptr[rows, None] + cuts.cumsum(dim=1)
        # Each neighbour has a place of its own already.
        times += (torch.bincount(edge.flatten(), minlength=len(times)) - 1).clamp(min=0)
    return times.to(device)

"""Full ranking by the library and by the plain way: each is made once and called for every repeat."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.bound import now
from benchmarks.evaluation.cells import EvaluationCell
from benchmarks.rivals.python_ranking import PythonRanking, item_sets
from benchmarks.tasks import Outcome
from mmgraph.data import MultimodalDataset
from mmgraph.evaluation import EvaluationConfig, Evaluator

_GRID = 2.0**8
"""Numbers of -1 to 1 in steps of 2^-8: products are in steps of 2^-16, and sums of up to 256 fit into 24 bits."""

Vectors = tuple[Tensor, Tensor]
PerUser = dict[str, NDArray[np.float64]]


def draw_vectors(cell: EvaluationCell, num_users: int, num_items: int) -> Vectors:
    """Draw user and item vectors; what they mean has no influence on the seconds.

    Example:
        >>> cell = EvaluationCell("duel", "ranking", ("mmgraph",), "board", dim=2)
        >>> user, item = draw_vectors(cell, 3, 5)
        >>> user.shape, bool((item * 256 == (item * 256).round()).all())
        (torch.Size([3, 2]), True)
    """
    generator = torch.Generator().manual_seed(cell.seed)
    vectors = []
    for rows in (num_users, num_items):
        if cell.vectors == "grid":
            drawn = torch.rand(rows, cell.dim, generator=generator) * 2 - 1
            vectors.append((drawn * _GRID).round() / _GRID)
        else:
            vectors.append(torch.randn(rows, cell.dim, generator=generator))
    return vectors[0], vectors[1]


class OurRanking:
    """The library's evaluator on the test part, with the seconds of its two phases."""

    def __init__(self, cell: EvaluationCell, dataset: MultimodalDataset, vectors: Vectors) -> None:
        train, valid, test = (
            (torch.from_numpy(part.user), torch.from_numpy(part.item))
            for part in (dataset.train, dataset.valid, dataset.test)
        )
        self.evaluator = Evaluator.for_test(
            train,
            valid,
            test,
            num_users=dataset.num_users,
            num_items=dataset.num_items,
            config=EvaluationConfig(block_size=cell.block),
            device=cell.device,
        )
        self.user, self.item = (part.to(cell.device) for part in vectors)

    def __call__(self) -> Outcome:
        """Rank and measure all users."""
        device = str(self.user.device)
        begin = lists_done = now(device)

        def note(done: int, total: int) -> None:
            nonlocal lists_done
            if done == total:
                lists_done = now(device)

        result = self.evaluator.evaluate(lambda users: self.user[users] @ self.item.T, note)
        end = now(device)
        phases = {"lists": lists_done - begin, "metrics": end - lists_done}
        per_user = {name: values.numpy() for name, values in result.per_user.items()}
        return Outcome(phases, {"users": len(result.users)}, per_user)


class PlainRanking:
    """The rival on the same vectors, on the processor."""

    def __init__(self, cell: EvaluationCell, dataset: MultimodalDataset, vectors: Vectors) -> None:
        self.rival = PythonRanking(
            vectors[0].numpy(),
            vectors[1].numpy(),
            seen=item_sets(dataset.train.user.tolist(), dataset.train.item.tolist()),
            held_out=item_sets(dataset.test.user.tolist(), dataset.test.item.tolist()),
            ks=EvaluationConfig().ks,
            block_size=cell.block,
        )

    def __call__(self) -> Outcome:
        """Rank and measure all users."""
        per_user = self.rival.evaluate()
        return Outcome(self.rival.phases, {"users": len(self.rival.users)}, per_user)


def largest_difference(first: PerUser, other: PerUser) -> float:
    """Return how far any metric of any user is from the other way's.

    Example:
        >>> largest_difference({"recall@1": np.array([0.0, 1.0])}, {"recall@1": np.array([0.5, 1.0])})
        0.5
    """
    return max(float(np.abs(values - other[name]).max()) for name, values in first.items())


def digest(per_user: PerUser) -> str:
    """Return a short name of the bytes of all metrics of all users."""
    hashed = hashlib.blake2b(digest_size=8)
    for name in sorted(per_user):
        hashed.update(np.ascontiguousarray(per_user[name]).tobytes())
    return hashed.hexdigest()

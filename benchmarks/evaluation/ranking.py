"""Seconds of one full ranking, next to the plain way: ``python -m benchmarks.evaluation.ranking``."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import (
    OURS,
    PLAIN,
    Cell,
    Way,
    benchmark_parser,
    finish,
    measure,
    positive,
    run_program,
    set_threads,
)
from benchmarks.rivals.python_ranking import PythonRanking, item_sets
from mmgraph.data import MultimodalDataset, load_dataset
from mmgraph.evaluation import EvaluationConfig, EvaluationResult, Evaluator


def draw_vectors(dataset: MultimodalDataset, *, dim: int) -> tuple[Tensor, Tensor]:
    """Draw user and item vectors; what they mean has no influence on the seconds."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(dataset.num_users, dim, generator=generator),
        torch.randn(dataset.num_items, dim, generator=generator),
    )


class OurRanking:
    """The library's evaluator on the test part, with the seconds of its two phases."""

    def __init__(
        self, dataset: MultimodalDataset, vectors: tuple[Tensor, Tensor], config: EvaluationConfig
    ) -> None:
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
            config=config,
        )
        self.user, self.item = vectors
        self.result: EvaluationResult | None = None

    def __call__(self) -> Mapping[str, float]:
        """Rank and measure all users."""
        begin = lists_done = time.perf_counter()

        def note(done: int, total: int) -> None:
            nonlocal lists_done
            lists_done = time.perf_counter()

        self.result = self.evaluator.evaluate(lambda users: self.user[users] @ self.item.T, note)
        end = time.perf_counter()
        return {"lists": lists_done - begin, "metrics": end - lists_done}


class PlainRanking:
    """The rival on the same scores."""

    def __init__(
        self, dataset: MultimodalDataset, vectors: tuple[Tensor, Tensor], config: EvaluationConfig
    ) -> None:
        self.rival = PythonRanking(
            vectors[0].numpy(),
            vectors[1].numpy(),
            seen=item_sets(dataset.train.user.tolist(), dataset.train.item.tolist()),
            held_out=item_sets(dataset.test.user.tolist(), dataset.test.item.tolist()),
            ks=config.ks,
            block_size=config.block_size,
        )
        self.result: dict[str, np.ndarray] = {}

    def __call__(self) -> Mapping[str, float]:
        """Rank and measure all users."""
        self.result = self.rival.evaluate()
        return self.rival.phases


def largest_difference(ours: OurRanking, plain: PlainRanking) -> float:
    """Return how far the mean of any metric is from the plain way's."""
    assert ours.result is not None
    return max(
        abs(mean - float(plain.result[name].mean())) for name, mean in ours.result.mean.items()
    )


def main(arguments: Sequence[str] | None = None) -> list[Cell]:
    """Measure and print; return the cells."""
    parser = benchmark_parser("Seconds of one full ranking, next to the plain way.")
    parser.add_argument("--dim", type=positive, default=64, help="width of the vectors (64)")
    options = parser.parse_args(arguments)
    set_threads(options.threads)
    dataset = load_dataset(options.dataset, modalities=[])
    config = EvaluationConfig()
    vectors = draw_vectors(dataset, dim=options.dim)
    ours, plain = OurRanking(dataset, vectors, config), PlainRanking(dataset, vectors, config)
    num_ranked = len(ours.evaluator.users)
    print(
        f"one full ranking: {dataset.name}, {num_ranked:,} users by {dataset.num_items:,} items, "
        f"{len(config.names)} metrics, {options.threads} threads"
    )
    ways: dict[str, Way] = {PLAIN: plain, OURS: ours}
    samples = measure(ways, repeats=options.repeats, say=print)
    return finish(
        {OURS: samples[OURS], PLAIN: samples[PLAIN]},
        options,
        benchmark="full ranking",
        module="benchmarks.evaluation.ranking",
        dataset=dataset.name,
        settings={
            "ranked_users": num_ranked,
            "num_items": dataset.num_items,
            "embedding_dim": options.dim,
            "block_size": config.block_size,
            "ks": list(config.ks),
            "metrics": list(config.metrics),
        },
        quality={"largest difference of a mean metric": largest_difference(ours, plain)},
    )


if __name__ == "__main__":
    run_program(main)

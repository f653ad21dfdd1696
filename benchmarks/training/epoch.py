"""Seconds of one LightGCN epoch, next to the plain way: ``python -m benchmarks.training.epoch``."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence

import torch

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
from benchmarks.rivals.coo_lightgcn import CooLightGCN
from mmgraph.data import MultimodalDataset, load_dataset
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.base import Batch
from mmgraph.models.lightgcn import LightGCN, LightGCNConfig
from mmgraph.training import PairwiseSampler, TrainingConfig, fit


class TimedSampler(PairwiseSampler):
    """The sampler of the library, which also notes the seconds spent in it."""

    sampling_s = 0.0

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        batches = super().epoch(batch_size, generator)
        self.sampling_s = 0.0
        while True:
            begin = time.perf_counter()
            batch = next(batches, None)
            self.sampling_s += time.perf_counter() - begin
            if batch is None:
                return
            yield batch


def build_model(dataset: MultimodalDataset, *, num_layers: int, embedding_dim: int) -> LightGCN:
    """Return a LightGCN with fixed initial weights."""
    torch.manual_seed(0)
    config = LightGCNConfig(num_layers=num_layers, embedding_dim=embedding_dim)
    return LightGCN(build_graph(dataset, GraphConfig(edges=())), config)


def our_way(dataset: MultimodalDataset, model: LightGCN, training: TrainingConfig) -> Way:
    """Return one epoch of the library's own loop; a fresh optimiser and the keeping of the best count."""
    sampler = TimedSampler(
        torch.from_numpy(dataset.train.user),
        torch.from_numpy(dataset.train.item),
        num_items=dataset.num_items,
    )
    seeds = iter(range(1 << 30))

    def epoch() -> Mapping[str, float]:
        begin = time.perf_counter()
        fit(
            model,
            sampler,
            config=training,
            seed=next(seeds),
            validate=None,
            select_by="recall@20",
        )
        seconds = time.perf_counter() - begin
        return {"sampling": sampler.sampling_s, "steps": seconds - sampler.sampling_s}

    return epoch


def plain_way(dataset: MultimodalDataset, model: LightGCN, training: TrainingConfig) -> Way:
    """Return one epoch of the rival, from the same initial weights."""
    rival = CooLightGCN(
        dataset.train.user.tolist(),
        dataset.train.item.tolist(),
        user_embedding=model.user_embedding,
        item_embedding=model.item_embedding,
        num_layers=model.propagation.layers.num_layers,
        reg_weight=model.config.reg_weight,
        learning_rate=training.learning_rate,
        batch_size=training.batch_size,
    )
    generator = random.Random(0)
    return lambda: rival.epoch(generator)


def main(arguments: Sequence[str] | None = None) -> list[Cell]:
    """Measure and print; return the cells."""
    parser = benchmark_parser("Seconds of one LightGCN epoch, next to the plain way.")
    parser.add_argument("--layers", type=positive, default=2, help="depth (2)")
    parser.add_argument("--dim", type=positive, default=64, help="width of the embeddings (64)")
    parser.add_argument("--batch-size", type=int, default=2048, help="triples a step (2048)")
    options = parser.parse_args(arguments)
    set_threads(options.threads)
    dataset = load_dataset(options.dataset, modalities=[])
    pairs = len(dataset.train.user)
    print(
        f"one LightGCN epoch: {dataset.name}, {pairs:,} pairs, batch {options.batch_size}, "
        f"{options.layers} layers, {options.dim} dimensions, {options.threads} threads"
    )
    model = build_model(dataset, num_layers=options.layers, embedding_dim=options.dim)
    training = TrainingConfig(max_epochs=1, batch_size=options.batch_size)
    ways = {
        PLAIN: plain_way(dataset, model, training),
        OURS: our_way(dataset, model, training),
    }
    samples = measure(ways, repeats=options.repeats, say=print)
    return finish(
        {OURS: samples[OURS], PLAIN: samples[PLAIN]},
        options,
        benchmark="training epoch",
        module="benchmarks.training.epoch",
        dataset=dataset.name,
        settings={
            "num_users": dataset.num_users,
            "num_items": dataset.num_items,
            "train_pairs": pairs,
            "num_layers": options.layers,
            "embedding_dim": options.dim,
            "batch_size": options.batch_size,
        },
        quality={},
    )


if __name__ == "__main__":
    run_program(main)

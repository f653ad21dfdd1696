"""Seconds of building all graphs, next to the plain way: ``python -m benchmarks.graph.build``.

Reading the files is not part of it: both ways start from the same arrays in memory.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch_geometric.data import HeteroData

from benchmarks.harness import (
    OURS,
    PLAIN,
    Cell,
    benchmark_parser,
    finish,
    measure,
    run_program,
    set_threads,
)
from benchmarks.rivals.dense_graph import build_plain
from benchmarks.rivals.dense_torch import Edges
from mmgraph.data import MultimodalDataset, load_dataset
from mmgraph.graph import BuildRecord, GraphConfig, build_graph

PlainGraph = dict[tuple[str, str, str], Edges]


class OurBuild:
    """All graphs by the library, with the default configuration."""

    def __init__(self, dataset: MultimodalDataset) -> None:
        self.dataset = dataset
        self.graph = HeteroData()

    def __call__(self) -> Mapping[str, float]:
        """Build; return the seconds of each phase."""
        record = BuildRecord()
        self.graph = build_graph(self.dataset, record=record)
        return record.seconds


class PlainBuild:
    """The same graphs by the rival."""

    def __init__(self, dataset: MultimodalDataset) -> None:
        self.dataset, self.config = dataset, GraphConfig()
        self.user, self.item = dataset.train.user.tolist(), dataset.train.item.tolist()
        self.graph: PlainGraph = {}

    def __call__(self) -> Mapping[str, float]:
        """Build; return the seconds of each phase."""
        timings: dict[str, float] = {}
        self.graph = build_plain(
            self.user,
            self.item,
            self.dataset.features,
            k=self.config.k,
            co_user_top_k=self.config.co_user_top_k,
            timings=timings,
        )
        return timings


def shared_edges(ours: HeteroData, plain: PlainGraph) -> dict[str, float]:
    """Return for each edge type the share of our edges that the plain way has too.

    Items with the same features tie, and the plain way settles ties as it likes; elsewhere it is 1.
    """
    shares = {}
    for edge_type, (edge_index, _) in plain.items():
        mine = _keys(ours[edge_type].edge_index)
        other = _keys(edge_index)
        shares[f"shared {'-'.join(edge_type)}"] = len(mine & other) / max(len(mine | other), 1)
    return shares


def _keys(edge_index: Tensor) -> set[tuple[int, int]]:
    return set(zip(*edge_index.tolist(), strict=True))


def main(arguments: Sequence[str] | None = None) -> list[Cell]:
    """Measure and print; return the cells."""
    parser = benchmark_parser("Seconds of building all graphs, next to the plain way.")
    options = parser.parse_args(arguments)
    set_threads(options.threads)
    dataset = load_dataset(options.dataset)
    config = GraphConfig()
    modalities = {name: f"{f.x.shape[1]}-d" for name, f in dataset.features.items()}
    print(
        f"all graphs: {dataset.name}, {dataset.num_users:,} users, {dataset.num_items:,} items, "
        f"{modalities or 'no features'}, k={config.k}, {options.threads} threads"
    )
    ours, plain = OurBuild(dataset), PlainBuild(dataset)
    samples = measure({PLAIN: plain, OURS: ours}, repeats=options.repeats, say=print)
    return finish(
        {OURS: samples[OURS], PLAIN: samples[PLAIN]},
        options,
        benchmark="graph build",
        module="benchmarks.graph.build",
        dataset=dataset.name,
        settings={
            "num_users": dataset.num_users,
            "num_items": dataset.num_items,
            "train_pairs": len(dataset.train.user),
            "modalities": modalities,
            "graph": config.model_dump(mode="json"),
        },
        quality=shared_edges(ours.graph, plain.graph),
    )


if __name__ == "__main__":
    run_program(main)

"""All graphs of a data set in memory, by the library and by the plain way."""

from collections.abc import Mapping

from torch import Tensor
from torch_geometric.data import HeteroData

from benchmarks.rivals.dense_graph import build_plain
from benchmarks.rivals.dense_torch import Edges
from mmgraph.data import MultimodalDataset
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

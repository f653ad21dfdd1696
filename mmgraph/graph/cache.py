"""Graphs that were built before, found again by everything that can change one of their bytes.

A graph is kept under the sha256 of

- the training pairs and, with nearest-neighbour edges, the features and masks, byte by byte (the
  hashes that the data set carries are not trusted alone: a data set can be changed in memory);
- the content hash and the split hash of the data set;
- the whole :class:`mmgraph.graph.GraphConfig`, so also the method, seed and recall of a search;
- the version of mmgraph, the source text of the graph builders and the format of the files;
- the versions of numpy and torch and the instructions that torch uses here: the last bit of a power
  or a logarithm in a weight is theirs.

FAISS and the packages behind ``nndescent`` are part of it only where the graph may be approximate.
In an exact graph FAISS finds candidates, always enough of them; which ones become edges is decided
by our own float64 sums.

The features themselves are not stored a second time: they come from the data set, whose bytes the
name stands for. So a cache holds edges only, as graphs that ``mmgraph graph inspect`` can show.
"""

# torch comes before faiss on purpose: both bring an OpenMP runtime, the first one is shared.
import torch  # noqa: I001
import faiss
import copy
import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch_geometric.data import HeteroData

from mmgraph import __version__
from mmgraph.errors import GraphError
from mmgraph.graph.knn.choice import APPROXIMATE
from mmgraph.graph.knn.nndescent import PACKAGES
from mmgraph.graph.schema import ITEM, feature_key, modalities_of, presence_key
from mmgraph.graph.store import (
    FORMAT_VERSION,
    MANIFEST,
    TENSORS,
    load_graph,
    read_graph_metadata,
    save_graph,
)
from mmgraph.versions import installed_versions

if TYPE_CHECKING:
    from mmgraph.data.dataset import MultimodalDataset
    from mmgraph.graph.build import GraphConfig

_LOG = logging.getLogger(__name__)

_BLOCK_VALUES = 1 << 22
"""Features hashed at a time; only those of an array that is not contiguous are copied."""


def _hash_sources(folder: Path) -> str:
    """Return a hash of the builders' text: between releases the version stays and they change."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


# Taken when the builders are loaded: what runs stays the same when the files change later.
_BUILDERS = _hash_sources(Path(__file__).parent)


class CacheEntry:
    """The place of one graph in a cache folder.

    Args:
        folder: The cache; made when something is first kept in it, other things in it are left
            alone.
        dataset: What the graph is built from.
        config: What is built.

    Attributes:
        key: Sha256 of everything that can change the graph.
        path: Where the graph is, or will be.
        problem: Says so after an entry was found damaged or could not be written.

    Raises:
        GraphError: The folder, or a part of its path, is a file.

    Complexity:
        One pass over the training pairs and features; about 2 GB a second.
    """

    def __init__(
        self, folder: str | Path, dataset: "MultimodalDataset", config: "GraphConfig"
    ) -> None:
        self.folder = Path(folder)
        for part in (self.folder, *self.folder.parents):
            if part.exists() and not part.is_dir():
                raise GraphError(
                    f"the cache must be a folder (got the file {part}); choose another"
                )
        self.ingredients = _ingredients(dataset, config)
        text = json.dumps(self.ingredients, sort_keys=True, separators=(",", ":"))
        self.key = hashlib.sha256(text.encode()).hexdigest()
        self.path = self.folder / f"graph-{self.key}"
        self.problem: str | None = None

    def load_into(self, data: HeteroData) -> dict[str, dict[str, Any]] | None:
        """Add the kept edges to a graph that has the nodes and features of the data set.

        A damaged entry is reported by the log and in ``problem``, and counts as missing.

        Args:
            data: The graph, left as it is when there is nothing to add.

        Returns:
            The reports that were kept with the edges, or None when there is no entry.

        Raises:
            GraphError: The entry is damaged, but its folder holds other things and is not ours to
                replace.
        """
        if not self.path.exists():
            return None
        try:
            metadata = read_graph_metadata(self.path)
            if metadata.get("cache") != self.ingredients:
                raise GraphError(f"{self.path / MANIFEST} is of another graph")
            kept = load_graph(self.path)
        except GraphError as error:
            self._check_replaceable()
            reason = str(error).removesuffix("; build the graph again")
            self._report(f"an entry is damaged and the graph is built anew: {reason}")
            return None
        for name in (*kept.node_types, *kept.edge_types):
            for attribute, value in kept[name].items():
                data[name][attribute] = value
        return dict(metadata["reports"])

    def save(self, data: HeteroData, metadata: Mapping[str, Any]) -> None:
        """Keep the edges of a graph; a graph that cannot be written is reported, and not lost.

        The entry appears whole, by one rename from a folder that no other process writes to. Of
        several processes that have built the same graph, the first one keeps it.

        Args:
            data: The graph with its features, left as it is.
            metadata: See :func:`mmgraph.graph.graph_metadata`.
        """
        edges = copy.copy(data)
        for modality in modalities_of(data):
            del edges[ITEM][feature_key(modality)], edges[ITEM][presence_key(modality)]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".partial.graph-", dir=self.folder) as own:
                fresh = Path(own) / "graph"
                save_graph(edges, fresh, metadata={**metadata, "cache": self.ingredients})
                if self.problem and self.path.exists():
                    self.path.rename(Path(own) / "damaged")
                try:
                    fresh.rename(self.path)
                except OSError:
                    if not self.path.is_dir():
                        raise
        except OSError as error:
            self._report(f"the graph could not be kept: {error}")

    def _check_replaceable(self) -> None:
        content = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        other = sorted(content - {MANIFEST, TENSORS})
        if other or not self.path.is_dir():
            held = f"it holds {other[0]}" if other else "it is a file"
            raise GraphError(
                f"{self.path} must be a graph of the cache and nothing else ({held}); "
                "move it away or choose another cache"
            )

    def _report(self, problem: str) -> None:
        self.problem = problem
        _LOG.warning("graph cache: %s", problem)


def _ingredients(dataset: "MultimodalDataset", config: "GraphConfig") -> dict[str, Any]:
    features = dataset.features.items() if "knn" in config.edges else ()
    approximate = config.method in APPROXIMATE or config.min_recall < 1
    return {
        "format_version": FORMAT_VERSION,
        "mmgraph": __version__,
        "builders": _BUILDERS,
        "numerics": [np.__version__, torch.__version__, torch.backends.cpu.get_cpu_capability()],
        "faiss": faiss.__version__ if approximate else None,
        "nndescent": installed_versions(PACKAGES) if approximate else None,
        "config": config.model_dump(mode="json"),
        "content_hash": dataset.content_hash,
        "split_hash": dataset.split_hash,
        "num_nodes": [dataset.num_users, dataset.num_items],
        "train": [_hash_array(dataset.train.user), _hash_array(dataset.train.item)],
        "features": [[name, _hash_array(f.x), _hash_array(f.present)] for name, f in features],
    }


def _hash_array(array: NDArray[Any]) -> str:
    """Return the sha256 of the values of an array, with their type and shape."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    rows = max(1, _BLOCK_VALUES // max(1, array[:1].size))
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).data)
    return digest.hexdigest()

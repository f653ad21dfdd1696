"""CB: items whose content is near that of a user's history; nothing is trained."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.graph.schema import ITEM_USER, knn_edge_type
from mmgraph.models.base import Paper, Recommender, Stage
from mmgraph.models.batch import Embeddings
from mmgraph.models.inputs import SharesConfig, required_features
from mmgraph.nn import item_shares, normalize_rows, shares_of, shrunk_cosine, sum_graphs
from mmgraph.nn.fusion import keep_present
from mmgraph.sparse import SparseAdjacency, matmul


class CBConfig(SharesConfig):
    """Options of CB.

    Attributes:
        form: ``profile`` compares an item with the user's mean content; ``neighbours`` adds up how much of the item is
            among the nearest neighbours of each item of the history (ItemKNN on content).
        history: Whether the items of a history are averaged or added up; the order of a list is the same.
        shares: Weight of a modality in the similarity.
        k: Neighbours of each item, for ``neighbours``.
        shrink: Constant that ``neighbours`` adds to the product of both lengths; with 0 the similarity is the cosine.
    """

    name: Literal["cb"] = "cb"
    form: Literal["profile", "neighbours"] = "profile"
    history: Literal["mean", "sum"] = "mean"
    k: int = Field(default=10, ge=1)
    shrink: float = Field(default=0.0, ge=0)


class CB(Recommender):
    r"""Score an item by its likeness to the items of the user's history, content alone.

    .. math::
        \hat y_{ui} = \langle Z_u, Z_i\rangle, \quad
        Z_i = \big[\sqrt{w_m(i)}\, \tfrac{x_i^m}{\lVert x_i^m\rVert}\big]_m, \quad
        Z_u = \operatorname{mean}_{j \in H_u} Z_j

    and in the form ``neighbours``, with the k nearest neighbours :math:`\mathcal{N}_m(j)` of an item by cosine,

    .. math::
        \hat y_{ui} = \operatorname{mean}_{j \in H_u} S_{ji}, \quad
        S_{ji} = \sum_m w_m(j)\, [i \in \mathcal{N}_m(j)]
        \frac{\langle x_j^m, x_i^m\rangle}{\lVert x_j^m\rVert \lVert x_i^m\rVert + h}

    The weights are rescaled, item by item, over the modalities the item has; an item without any scores zero.

    Source: the baseline "CB" of MM-GEF, described there as similarity of text and image, without an equation; the mean
    of the history and the weights are our reading. ``neighbours`` is ItemKNNCBF of Ferrari Dacrema et al., 2019, which
    chooses the neighbours by the shrunk value and takes all modalities as one vector.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = CB(checkerboard_graph(), CBConfig()).eval()
        >>> model.encode().user.shape  # text is 2 wide, image 3
        torch.Size([12, 5])
    """

    Config = CBConfig
    paper = Paper(
        "Ferrari Dacrema et al.",
        2019,
        "Are We Really Making Much Progress? (ItemKNN on content)",
    )
    modality_fusion = "late"
    config: CBConfig

    def __init__(self, graph: HeteroData, config: CBConfig) -> None:
        super().__init__(graph, config)
        features = required_features(graph, config)
        shares = shares_of(config.shares, tuple(features))
        share = item_shares([*shares.values()], [has for _, has in features.values()]).float()
        self.widths = {name: x.size(1) for name, (x, _) in features.items()}
        unit = [normalize_rows(keep_present(x, has)) for x, has in features.values()]
        weighted = [part.sqrt()[:, None] * x for part, x in zip(share, unit, strict=True)]
        self.content: Tensor
        self.register_buffer("content", torch.cat(weighted, dim=1), persistent=False)
        edges = graph[ITEM_USER].edge_index
        count = torch.bincount(edges[1], minlength=self.num_users)
        weight = 1 / count[edges[1]] if config.history == "mean" else None
        self.history = SparseAdjacency(edges, weight, size=(self.num_users, self.num_items))
        self.similar: SparseAdjacency | None = None
        if config.form == "neighbours":
            graphs = []
            for name, part in zip(features, share, strict=True):
                near = graph[knn_edge_type(name)].edge_index
                likeness = shrunk_cosine(features[name][0], near, shrink=config.shrink)
                graphs.append((near, part[near[1]] * likeness))
            near, likeness = sum_graphs(graphs, num_nodes=self.num_items)
            size = (self.num_items, self.num_items)
            # Against the edges: an item of the history passes its weight on to its neighbours.
            self.similar = SparseAdjacency(near.flip(0), likeness, size=size)

    @classmethod
    def edges_for(cls, config: CBConfig) -> tuple[str, ...]:
        """Return ``knn`` for the form that needs neighbours."""
        return ("knn",) if config.form == "neighbours" else ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """None: there is nothing to learn."""
        return ()

    @property
    def modality_widths(self) -> dict[str, int]:
        """The widths of the features, where the vectors are what scores."""
        return self.widths if self.similar is None else {}

    def encode(self) -> Embeddings:
        """Return the profiles of the users and the weighted unit features of the items, modalities side by side."""
        return Embeddings(matmul(self.history, self.content), self.content)

    def score(self, users: Tensor, embeddings: Embeddings | None = None) -> Tensor:
        """Return inner products, or what the history passes on to its items' neighbours."""
        if self.similar is None:
            return super().score(users, embeddings)
        return matmul(self.similar, self._histories(users).T).T

    def retrieval_embeddings(self) -> Embeddings | None:
        """Return the vectors, where they are what scores."""
        return self.encode() if self.similar is None else None

    def _histories(self, users: Tensor) -> Tensor:
        """Return the rows of some users in the matrix of histories; (len(users), num_items)."""
        start, stop = (self.history.rowptr[ends].long() for ends in (users, users + 1))
        row = torch.arange(len(users), device=users.device).repeat_interleave(stop - start)
        first = (stop - start).cumsum(0) - (stop - start)
        place = torch.arange(len(row), device=users.device) + (start - first)[row]
        dense = self.history.value.new_zeros(len(users), self.num_items)
        dense[row, self.history.col[place].long()] = self.history.value[place]
        return dense

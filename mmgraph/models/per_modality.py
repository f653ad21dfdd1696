"""One copy of a model for each modality, side by side: any model becomes one of late fusion."""

import copy
from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from mmgraph.errors import ConfigError
from mmgraph.graph.schema import feature_key, knn_edge_type, modalities_of, presence_key
from mmgraph.models.base import ModelConfig, Recommender, Stage
from mmgraph.models.batch import Batch, Embeddings, Rows
from mmgraph.models.inputs import required_features


class JoinedRows(Rows):
    """The rows of several models side by side, and those of each, which its penalties ask for."""

    parts: Sequence[Rows]

    @classmethod
    def of(cls, parts: Sequence[Rows]) -> Self:
        """Join the rows of some models."""
        joined = cls(*(torch.cat(columns, dim=-1) for columns in zip(*parts, strict=True)))
        joined.parts = parts
        return joined


class OnePerModality(Recommender):
    """Score by the sum of the scores of copies of a model, each of which sees one modality and learns on its own.

    The copies share nothing but the batch: each has tables of its own. Terms of the loss besides the criterion are
    added up over the copies.

    Args:
        graph: As for the model.
        config: Of each copy.
        model: A class whose scores are inner products.

    Raises:
        ConfigError: the model's scores are no inner products, or its config names other modalities.

    Example:
        >>> from mmgraph.models.vbpr import VBPR, VBPRConfig
        >>> from mmgraph.testing import checkerboard_graph
        >>> config = VBPRConfig(embedding_dim=4, content_dim=2)
        >>> OnePerModality(checkerboard_graph(), config, VBPR).modality_widths
        {'text': 7, 'image': 7}
    """

    modality_fusion = "late"

    def __init__(self, graph: HeteroData, config: ModelConfig, model: type[Recommender]) -> None:
        super().__init__(graph, config)
        self.modalities = tuple(required_features(graph, config))
        config.check_modalities(self.modalities, path="model.backbone")
        self.copies = nn.ModuleList(
            model(
                with_one_modality(graph, name), config.model_copy(update=config.changes_for([name]))
            )
            for name in self.modalities
        )
        self._widths = {
            name: _width(copy_) for name, copy_ in zip(self.modalities, self._each(), strict=True)
        }

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those of each copy."""
        return next(self._each()).stages

    @property
    def modality_widths(self) -> dict[str, int]:
        """As many columns as the vectors of each copy have."""
        return self._widths

    def encode(self) -> Embeddings:
        """Return the vectors of the copies side by side."""
        parts = [copy_.encode() for copy_ in self._each()]
        return Embeddings(
            torch.cat([part.user for part in parts], dim=1),
            torch.cat([part.item for part in parts], dim=1),
        )

    def batch_rows(self, batch: Batch) -> Rows:
        """Return what each copy scores the batch with, side by side."""
        return JoinedRows.of([copy_.batch_rows(batch) for copy_ in self._each()])

    def criterion(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return that of each copy."""
        return next(self._each()).criterion(positive, negative)

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return the sums of the copies' terms.

        Raises:
            TypeError: the rows are not those that :meth:`batch_rows` has made.
        """
        if not isinstance(rows, JoinedRows):
            raise TypeError(
                f"penalties() must be given the rows that batch_rows() returned (got {type(rows).__name__}); "
                "pass them on"
            )
        terms: dict[str, Tensor] = {}
        for copy_, own in zip(self._each(), rows.parts, strict=True):
            for name, value in copy_.penalties(batch, own).items():
                terms[name] = terms[name] + value if name in terms else value
        return terms

    def on_stage(self, stage: Stage) -> None:
        """Tell each copy."""
        for copy_ in self._each():
            copy_.on_stage(stage)

    def on_epoch(self, epoch: int) -> None:
        """Tell each copy."""
        for copy_ in self._each():
            copy_.on_epoch(epoch)

    def after_step(self) -> None:
        """Tell each copy."""
        for copy_ in self._each():
            copy_.after_step()

    def _each(self) -> Iterator[Recommender]:
        for copy_ in self.copies:
            assert isinstance(copy_, Recommender)
            yield copy_


def with_one_modality(graph: HeteroData, modality: str) -> HeteroData:
    """Return a graph that shares all tensors with the given one but has features and neighbours of one modality only.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> graph = checkerboard_graph()
        >>> modalities_of(with_one_modality(graph, "image")), modalities_of(graph)
        (('image',), ('text', 'image'))
    """
    part = copy.copy(graph)
    for name in modalities_of(graph):
        if name == modality:
            continue
        del part["item"][feature_key(name)], part["item"][presence_key(name)]
        if knn_edge_type(name) in part.edge_types:
            del part[knn_edge_type(name)]
    return part


def _width(model: Recommender) -> int:
    with torch.no_grad():
        vectors = model.eval().retrieval_embeddings()
    model.train()
    if vectors is None:
        raise ConfigError(
            "a model with a copy for each modality must score by inner products "
            f"(got {model.config.name!r}, which does not); use another, such as 'vbpr'"
        )
    return vectors.user.size(1)

"""LIRDRec: items from features alone, one block of them transformed together, weighed by each user."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.models.base import Paper
from mmgraph.models.batch import Batch, Embeddings, Rows, rows_of
from mmgraph.models.inputs import required_features
from mmgraph.models.modality_blocks import BlockConfig, BlockRecommender
from mmgraph.models.terms import RowsAndTerms, terms_of
from mmgraph.nn import ProgressiveWeights, cosine_transform
from mmgraph.nn.fusion import keep_present
from mmgraph.nn.progressive import Copied

_SHARED = "all modalities"  # no modality has a space in its name


class LIRDRecConfig(BlockConfig):
    """Options of LIRDRec.

    Attributes:
        dct_keep: Share of the low frequencies of each modality in the common block.
        pwc_start: Share of the networks in the users' weights before the first epoch.
        pwc_decay: Base of its decay; 1 keeps it.
        pwc_copy: What the users' weights remember, ``logit`` or ``attention``, see
            :class:`mmgraph.nn.ProgressiveWeights`; by default what the preset says.
        preset: ``paper`` copies ``logit``, ``as_released`` copies ``attention``.
    """

    name: Literal["lirdrec"] = "lirdrec"
    dct_keep: float = Field(default=1.0, gt=0, le=1)
    pwc_start: float = Field(default=0.9, gt=0, lt=1)
    pwc_decay: float = Field(default=0.9, gt=0, le=1)
    pwc_copy: Copied | None = None
    preset: Literal["paper", "as_released"] = "paper"
    reg_weight: float = Field(default=1e-4, ge=0)


class LIRDRec(BlockRecommender):
    r"""Smooth encoded features, and one block that sees them all, over interactions and content; users weigh blocks.

    .. math::
        [R_m]_m, R_s = \sum_k \hat A^k\, \mathrm{norm}([P; \mathrm{MLP}(X)]), \quad X_s = [\mathrm{DCT}(X_m)]_m, \quad
        Z_U = [a_b R_b]_b, \quad Z_I = (I + S^{L_i})\, R

    .. math::
        \mathcal L = \mathrm{BPR} + \lambda\, (\mathrm{mean}\, Z_U^2 + \mathrm{mean}\, Z_I^2)

    There are no item ids. The weights :math:`a` are those of :class:`mmgraph.nn.ProgressiveWeights`. The transform is a
    rotation of the features, made once.

    Source: Zhou et al., 2025 (LIRDRec), as its code has it, but for what users' weights remember: the code copies the
    softmax, which approaches uniform weights, where the abstract speaks of weights that are learned step by step and
    kept: ``pwc_copy``, ``preset="as_released"``. The code scores with what the last training batch left; here every
    score is of the present parameters. The item graph counts modalities alike where theirs gives the image 0.1
    (``shares``). A modality that an item lacks is zero in its block and in the common one.

    Example:
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = LIRDRec(checkerboard_graph(), LIRDRecConfig(embedding_dim=4, hidden_dim=8)).eval()
        >>> model.encode().item.shape
        torch.Size([12, 12])
    """

    Config = LIRDRecConfig
    paper = Paper(
        "Zhou et al.",
        2025,
        "Learning Item Representations Directly from Multimodal Features for Effective Recommendation",
    )
    modality_fusion = "joint"
    config: LIRDRecConfig

    def __init__(self, graph: HeteroData, config: LIRDRecConfig) -> None:
        features = required_features(graph, config)
        blocks = {**features, _SHARED: transformed(features, keep=config.dct_keep)}
        super().__init__(graph, config, blocks)
        dim = config.embedding_dim
        by_preset: Copied = "logit" if config.preset == "paper" else "attention"
        self.weights = ProgressiveWeights(
            self.num_users,
            len(blocks),
            dim,
            hidden_dim=max(1, dim // 4),
            start=config.pwc_start,
            decay=config.pwc_decay,
            copied=config.pwc_copy or by_preset,
            init=config.init,
        )

    def on_epoch(self, epoch: int) -> None:
        """Copy the users' weights."""
        self.weights.on_epoch(epoch)

    def encode(self) -> Embeddings:
        """Return all blocks side by side, those of users times their weights."""
        return self.smoothed(self.weights)

    def batch_rows(self, batch: Batch) -> Rows:
        """Return the rows of a batch; in training the users' weights are remembered for the next epoch."""
        final = self.smoothed(partial(self.weights, remember=self.training))
        return RowsAndTerms.of(rows_of(final, batch), self.penalty_of(final))

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return ``reg`` on the final rows of all users and items, if it has a weight."""
        return terms_of(rows)


def transformed(
    features: Mapping[str, tuple[Tensor, Tensor]], *, keep: float
) -> tuple[Tensor, Tensor]:
    """Return the frequencies of all modalities side by side, and which items have any modality.

    Args:
        features: Feature matrix and presence mask of each modality; absent rows count as zero.
        keep: See :func:`mmgraph.nn.cosine_transform`.

    Example:
        >>> x, has = torch.ones(2, 4), torch.tensor([True, False])
        >>> rows, any_modality = transformed({"text": (x, has)}, keep=0.5)
        >>> rows.round(decimals=3).tolist(), any_modality.tolist()
        ([[2.0, 0.0], [0.0, 0.0]], [True, False])
    """
    rows = [cosine_transform(keep_present(x, has), keep=keep) for x, has in features.values()]
    masks = [has for _, has in features.values()]
    return torch.cat(rows, dim=1), torch.stack(masks).any(dim=0)

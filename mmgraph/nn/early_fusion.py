"""One content vector per item from all of its modalities, before any graph is built."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmgraph.errors import ConfigError
from mmgraph.nn.buffers import BufferList
from mmgraph.nn.encoders import ModalityEncoder
from mmgraph.nn.fusion import keep_present, normalize_rows, presence_mean

FusionMode = Literal["auto", "mean", "projected_mean", "concat"]


class EarlyFusion(nn.Module):
    """Average the modalities an item has, then project; or project each first where their widths differ.

    Every modality is L2-normalised before that, so that none dominates by its scale. Side by side (``concat``) a
    missing modality is a part of zeros. Without projection (``out_dim=None``) modalities of unequal width are put side
    by side, too: the cosine of two items that have them all is the mean of the modalities' cosines.

    Source: MM-GEF, section 3.2 (mean of CLIP-like vectors, then a trainable linear layer); features of
    unequal width are not treated in the paper, and neither is the length of the vectors.

    Args:
        features: One matrix per modality; rows of missing items may be anything.
        present: Which items have the modality.
        out_dim: Width after the projection, or None for no projection.
        mode: ``mean``, ``projected_mean``, ``concat``, or ``auto``: ``mean`` where the widths agree, ``projected_mean``
            elsewhere.
        unit: False takes the vectors at the length they have.

    Shapes:
        features (num_items, dim_m) each; present (num_items,) bool each; returns (num_items, out_dim).

    Raises:
        ConfigError: ``mean`` is asked for with features of different widths.

    Example:
        >>> x, has = torch.tensor([[3.0, 4.0]]), torch.tensor([True])
        >>> EarlyFusion([x, x], [has, has], out_dim=None)().tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """

    def __init__(
        self,
        features: Sequence[Tensor],
        present: Sequence[Tensor],
        *,
        out_dim: int | None,
        mode: FusionMode = "auto",
        unit: bool = True,
    ) -> None:
        super().__init__()
        features = [keep_present(x, has) for x, has in zip(features, present, strict=True)]
        if unit:
            features = [normalize_rows(x) for x in features]
        anywhere = torch.stack(list(present)).any(dim=0)
        widths = [x.size(1) for x in features]
        if mode == "mean" and len(set(widths)) > 1:
            raise ConfigError(
                f"model.fusion 'mean' needs features of one width (got {widths}); use 'projected_mean'"
            )
        if mode in ("auto", "mean") and len(set(widths)) == 1:
            features, present = [presence_mean(features, present)], [anywhere]
        elif out_dim is None or mode == "concat":
            features, present = [torch.cat(features, dim=1)], [anywhere]
        self.features, self.masks = BufferList(features), BufferList(present)
        self.present: Tensor
        self.register_buffer("present", anywhere, persistent=False)
        self.encoders = nn.ModuleList(
            [] if out_dim is None else [ModalityEncoder(x.size(1), out_dim) for x in features]
        )

    def forward(self) -> Tensor:
        """Return the fused content vector of every item; zero for items without any modality."""
        if not self.encoders:
            return self.features[0]
        projected = [encoder(x) for encoder, x in zip(self.encoders, self.features, strict=True)]
        return presence_mean(projected, list(self.masks))

"""From ids and raw features to vectors of the model's width."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgraph.nn.buffers import BufferList
from mmgraph.nn.fusion import keep_present, normalize_rows
from mmgraph.nn.projection import linear_rows

Init = Literal["xavier_uniform", "xavier_normal", "normal0.1"]


def id_embedding(
    num_rows: int, embedding_dim: int, *, init: Init = "xavier_uniform"
) -> nn.Parameter:
    """Return a trainable table of one row per user or item.

    ``normal0.1`` draws from Normal(0, 0.1) as LightGCN's authors do; the Xavier kinds are those of the MMRec family.

    Shapes:
        returns (num_rows, embedding_dim).

    Example:
        >>> id_embedding(3, 2).shape
        torch.Size([3, 2])
    """
    table = torch.empty(num_rows, embedding_dim)
    if init == "normal0.1":
        nn.init.normal_(table, std=0.1)
    elif init == "xavier_normal":
        nn.init.xavier_normal_(table)
    else:
        nn.init.xavier_uniform_(table)
    return nn.Parameter(table)


def affine(in_dim: int, out_dim: int, *, bias: bool = True) -> nn.Linear:
    """Return an affine layer that starts Xavier-uniform with zero bias.

    Example:
        >>> affine(3, 2)(torch.zeros(3)).tolist()
        [0.0, 0.0]
    """
    layer = nn.Linear(in_dim, out_dim, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


_FEW = 0.9
"""Up to this share of the items, only those that have a modality are encoded; above, choosing them gains nothing."""


class ModalityEncoder(nn.Module):
    """One affine layer from a modality's raw features to the model's width, Xavier-uniform with zero bias, or none.

    Args:
        in_dim: Width of the features.
        out_dim: Width of the result.
        bias: Whether there is one.
        hidden_dim: Width of a layer before, with a leaky rectifier after it; None for no such layer.
        unit: Divide each row of the result by its length.
        dropout: Share of the result left out in training.

    Shapes:
        x (num_items, in_dim); rows (num_rows,) int64; returns (num_items, out_dim), or (num_rows, out_dim).

    Example:
        >>> ModalityEncoder(8, 2)(torch.zeros(3, 8)).tolist()
        [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        *,
        bias: bool = True,
        hidden_dim: int | None = None,
        unit: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.unit, self.dropout = unit, dropout
        self.linear = affine(in_dim, hidden_dim or out_dim, bias=bias)
        self.output = None if hidden_dim is None else affine(hidden_dim, out_dim, bias=bias)

    def forward(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the projected features, or those of some rows, which are not copied then."""
        projected: Tensor
        if rows is not None:
            projected = linear_rows(x, rows, self.linear.weight, self.linear.bias)
        else:
            projected = self.linear(x)
        if self.output is not None:
            projected = self.output(F.leaky_relu(projected))
        if self.unit:
            projected = normalize_rows(projected)
        return F.dropout(projected, self.dropout, self.training)


class ItemTables(nn.Module):
    """Trainable tables with a row for each item.

    Example:
        >>> [name for name, _ in ItemTables([torch.zeros(2, 3)]).named_parameters()]
        ['item_0']
    """

    def __init__(self, tables: Iterable[Tensor]) -> None:
        super().__init__()
        for index, table in enumerate(tables):
            self.register_parameter(f"item_{index}", nn.Parameter(table))

    def __iter__(self) -> Iterator[Tensor]:
        """Iterate in the order given."""
        return self.parameters()


class ModalityEncoders(nn.Module):
    """The features of every modality, each with an encoder of its own.

    Features are buffers, unless they are trained as well: they get no gradient and no place in the optimiser. Only the
    rows that are asked for are encoded, so a loss on a batch costs the items of the batch and not the catalogue; and of
    the whole catalogue only the items that have the modality.

    Args:
        features: Feature matrix and presence mask of each modality; absent rows may hold anything.
        encoder: Makes the encoder for a feature width.
        unit: Divide each row of the features by its length.
        trainable: Whether the features are parameters that start as what is given.

    Shapes:
        features (num_items, dim_m) and (num_items,) bool; returns (num_rows, out_dim) for each modality.

    Example:
        >>> x, has = torch.ones(3, 4), torch.tensor([True, False, True])
        >>> encoders = ModalityEncoders({"text": (x, has)}, lambda width: ModalityEncoder(width, 2))
        >>> encoded = encoders(torch.tensor([1, 2]))["text"]
        >>> encoded.shape, encoded[0].tolist()
        (torch.Size([2, 2]), [0.0, 0.0])
    """

    def __init__(
        self,
        features: Mapping[str, tuple[Tensor, Tensor]],
        encoder: Callable[[int], nn.Module],
        *,
        unit: bool = False,
        trainable: bool = False,
    ) -> None:
        super().__init__()
        self.names = tuple(features)
        kept = (keep_present(x, has) for x, has in features.values())
        rows = map(normalize_rows, kept) if unit else kept
        self.features = ItemTables(rows) if trainable else BufferList(rows)
        self.present = BufferList(has for _, has in features.values())
        self.known = BufferList(has.nonzero().squeeze(1) for _, has in features.values())
        self.encoders = nn.ModuleList(encoder(x.size(1)) for x, _ in features.values())

    def has(self, items: Tensor | None = None) -> dict[str, Tensor]:
        """Return for each modality which of some items have it, or of all, (num_rows,) bool."""
        masks = self.present
        chosen = masks if items is None else (mask.index_select(0, items) for mask in masks)
        return dict(zip(self.names, chosen, strict=True))

    def forward(self, items: Tensor | None = None) -> dict[str, Tensor]:
        """Return the encoded rows of some items, or of all; zero where an item lacks the modality."""
        encoded = {}
        for name, x, has, known, encoder in zip(
            self.names, self.features, self.present, self.known, self.encoders, strict=True
        ):
            if items is not None:
                rows = _encode_rows(encoder, x, items)
                encoded[name] = keep_present(rows, has.index_select(0, items))
            elif len(known) <= _FEW * len(x):
                rows = _encode_rows(encoder, x, known)
                encoded[name] = rows.new_zeros(len(x), rows.size(1)).index_copy(0, known, rows)
            else:
                encoded[name] = keep_present(encoder(x), has)
        return encoded


def _encode_rows(encoder: nn.Module, x: Tensor, rows: Tensor) -> Tensor:
    """Return what an encoder makes of some rows, without a copy of them where it can do so."""
    if isinstance(encoder, ModalityEncoder) and not isinstance(x, nn.Parameter):
        encoded: Tensor = encoder(x, rows)
    else:
        encoded = encoder(x.index_select(0, rows))
    return encoded

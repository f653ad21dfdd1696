"""One user-item propagation for all modalities, their vectors side by side."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmgraph.nn.encoders import Init, ModalityEncoders, id_embedding
from mmgraph.nn.fusion import normalize_rows
from mmgraph.nn.propagation import UserItemPropagation
from mmgraph.sparse import SparseAdjacency


class ModalityUserItemGCN(nn.Module):
    r"""Propagate users' preferences and items' content over the user-item graph, modality by modality.

    .. math:: R_m = \sum_{k=0}^{K} \hat A^k\, \mathrm{norm}([T_m; \mathrm{MLP}_m(X_m)])

    The modalities are columns of one matrix, so a layer is one sparse product whatever their number. An item that lacks
    a modality starts from zero there and receives from its users. Further blocks of columns have preferences of their
    own and are given the items' rows when they are used.

    Source: Wang et al., 2021 (DualGNN), single-modal representation; also of DRAGON, LIRDRec and CM3.

    Args:
        features: Feature matrix and presence mask of each modality.
        adjacency: The joint matrix, users first, normalised.
        num_users: Number of users.
        dim: Width of a modality's vectors.
        hidden_dim: Width inside of the encoders.
        num_layers: Depth K.
        init: Of the users' preferences.
        extra_blocks: Number of further blocks.
        output_bias: Whether the last layer of an encoder has a bias.

    Shapes:
        extra (num_items, dim) each; returns (num_users, num_blocks * dim) and (num_items, num_blocks * dim), in the
        order of ``features``, further blocks last.

    Example:
        >>> x, has = torch.eye(2), torch.ones(2, dtype=torch.bool)
        >>> joint = SparseAdjacency(torch.tensor([[0, 1], [1, 0]]), size=(3, 3))
        >>> gcn = ModalityUserItemGCN({"text": (x, has)}, joint, num_users=1, dim=4, hidden_dim=8, num_layers=2)
        >>> [part.shape for part in gcn()]
        [torch.Size([1, 4]), torch.Size([2, 4])]
    """

    def __init__(
        self,
        features: Mapping[str, tuple[Tensor, Tensor]],
        adjacency: SparseAdjacency,
        *,
        num_users: int,
        dim: int,
        hidden_dim: int,
        num_layers: int,
        init: Init = "xavier_normal",
        extra_blocks: int = 0,
        output_bias: bool = True,
    ) -> None:
        super().__init__()
        self.dim = dim
        num_blocks = len(features) + extra_blocks
        tables = [id_embedding(num_users, dim, init=init).detach() for _ in range(num_blocks)]
        self.user_preference = nn.Parameter(torch.cat(tables, dim=1))
        self.content = ModalityEncoders(
            features,
            lambda width: nn.Sequential(
                nn.Linear(width, hidden_dim),
                nn.LeakyReLU(),
                nn.Linear(hidden_dim, dim, bias=output_bias),
            ),
        )
        self.propagation = UserItemPropagation(adjacency, num_layers=num_layers, combine="sum")

    def forward(self, *extra: Tensor) -> tuple[Tensor, Tensor]:
        """Return users and items, modalities and further blocks side by side."""
        user = [normalize_rows(table) for table in self.user_preference.split(self.dim, dim=1)]
        item = [normalize_rows(rows) for rows in (*self.content().values(), *extra)]
        smooth: tuple[Tensor, Tensor] = self.propagation(
            torch.cat(user, dim=1), torch.cat(item, dim=1)
        )
        return smooth


def weigh_blocks(x: Tensor, weights: Tensor) -> Tensor:
    """Return rows whose blocks of columns, all of one width, are multiplied by one number each.

    Shapes:
        x (num_rows, num_blocks * dim); weights (num_rows, num_blocks); returns the shape of ``x``.

    Example:
        >>> weigh_blocks(torch.ones(1, 4), torch.tensor([[2.0, 3.0]])).tolist()
        [[2.0, 2.0, 3.0, 3.0]]
    """
    blocks = x.view(x.size(0), weights.size(1), -1)
    return (blocks * weights[:, :, None]).flatten(1)

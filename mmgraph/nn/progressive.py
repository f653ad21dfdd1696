"""Weights of the blocks of a user that are learned first and remembered then."""

from typing import Literal

import torch
from torch import Tensor, nn

from mmgraph.nn.encoders import Init, id_embedding

Copied = Literal["logit", "attention"]


class ProgressiveWeights(nn.Module):
    r"""Weigh the blocks of each user by what networks say of them, and more and more by what was said before.

    .. math::
        a_u = \mathrm{softmax}(l_u), \quad l_u = w\, f(x_u) + (1 - w)\, \theta_u, \quad
        \frac{w}{1-w} = \frac{w_0}{1-w_0}\, b^{e(e+1)/2} \text{ in epoch } e

    Each block has a network :math:`f_m` of one hidden layer, and each user a memory :math:`\theta_u` of one number a
    block. An epoch begins by copying what the last training step came to: :math:`\theta_u \leftarrow l_u` (``logit``),
    so that the weights stay what they were learned to be; or :math:`\theta_u \leftarrow a_u` (``attention``). Epoch and
    memory are saved with the parameters, with what the next epoch will copy: training that is resumed goes on as if it
    had never been interrupted.

    Source: Zhou et al., 2025 (LIRDRec), progressive weight copying, and its code: ``attention`` with a memory that is
    trained as well. Weights copied that way approach uniform ones, since a softmax is taken of a softmax.

    Args:
        num_users: Number of users.
        num_blocks: Number of blocks.
        dim: Width of a block.
        hidden_dim: Width inside of the networks.
        start: Share :math:`w_0` of the networks before the first epoch.
        decay: Base :math:`b`.
        copied: What is remembered; the memory of ``attention`` is a parameter, that of ``logit`` is not.
        init: Of the memory.

    Shapes:
        x (num_users, num_blocks * dim); returns (num_users, num_blocks), rows sum to 1.

    Example:
        >>> weights = ProgressiveWeights(2, 3, 4, hidden_dim=2, start=0.9, decay=0.9)
        >>> weights(torch.zeros(2, 12)).shape
        torch.Size([2, 3])
        >>> weights.on_epoch(1)
        >>> round(weights.share, 2)
        0.89
    """

    def __init__(
        self,
        num_users: int,
        num_blocks: int,
        dim: int,
        *,
        hidden_dim: int,
        start: float,
        decay: float,
        copied: Copied = "logit",
        init: Init = "xavier_normal",
    ) -> None:
        super().__init__()
        self.dim, self.start, self.decay, self.copied = dim, start, decay, copied
        self.scorers = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, hidden_dim), nn.LeakyReLU(), nn.Linear(hidden_dim, 1))
            for _ in range(num_blocks)
        )
        self.epoch = 0
        memory = id_embedding(num_users, num_blocks, init=init)
        self.user_memory: Tensor
        if copied == "attention":
            self.user_memory = memory
        else:
            self.register_buffer("user_memory", memory.detach())
        self.user_next: Tensor
        self.register_buffer("user_next", memory.detach().clone())

    @property
    def share(self) -> float:
        """The weight w of the networks in the present epoch."""
        odds = self.start * self.decay ** (self.epoch * (self.epoch + 1) / 2)
        return 1.0 if self.start == 1 else odds / (odds + 1 - self.start)

    def forward(self, x: Tensor, *, remember: bool = False) -> Tensor:
        """Return the weights; remembered, they are copied when the next epoch begins."""
        blocks = zip(self.scorers, x.split(self.dim, dim=1), strict=True)
        said = torch.cat([scorer(block) for scorer, block in blocks], dim=1)
        logits = self.share * said + (1 - self.share) * self.user_memory
        weights = logits.softmax(dim=1)
        if remember:
            latest = logits if self.copied == "logit" else weights
            self.user_next = latest.detach().to(self.user_next)
        return weights

    def on_epoch(self, epoch: int) -> None:
        """Copy what the last epoch came to; an epoch that has begun already does not begin again."""
        if epoch <= self.epoch:
            return
        if self.epoch:  # before the first epoch there is nothing to remember
            with torch.no_grad():
                self.user_memory.copy_(self.user_next)
        self.epoch = epoch

    def get_extra_state(self) -> Tensor:
        """Return the epoch, to be saved with the weights."""
        return torch.tensor(self.epoch)

    def set_extra_state(self, state: Tensor) -> None:
        """Take that back."""
        self.epoch = int(state)

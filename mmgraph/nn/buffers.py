"""A list of constant tensors inside a module."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn


class BufferList(nn.Module):
    """Hold tensors that move with the model, are not trained and are not saved: features and graphs follow from data.

    Example:
        >>> import torch
        >>> [x.dtype for x in BufferList([torch.zeros(1)]).double()]
        [torch.float64]
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self._length = 0
        for tensor in tensors:
            self.register_buffer(str(self._length), tensor, persistent=False)
            self._length += 1

    def __len__(self) -> int:
        """Return how many tensors are held."""
        return self._length

    def __getitem__(self, index: int) -> Tensor:
        """Return one tensor."""
        return self.get_buffer(str(range(self._length)[index]))

    def __iter__(self) -> Iterator[Tensor]:
        """Iterate in the order given."""
        return (self[index] for index in range(self._length))


def freeze_parameters(module: nn.Module, *names: str) -> None:
    """Turn parameters of a module into tensors that are saved with it but not trained.

    For random numbers that are part of a model: unlike features and graphs they do not follow from data.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> freeze_parameters(layer, "bias")
        >>> [name for name, _ in layer.named_parameters()], list(layer.state_dict())
        (['weight'], ['weight', 'bias'])
    """
    for name in names:
        value = module.get_parameter(name).detach()
        delattr(module, name)
        module.register_buffer(name, value)

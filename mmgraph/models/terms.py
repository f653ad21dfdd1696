"""Rows of a batch together with terms of the loss, for models whose terms are made of what the rows are made of."""

from collections.abc import Mapping
from typing import Self

from torch import Tensor

from mmgraph.models.batch import Rows


class RowsAndTerms(Rows):
    """The rows of a batch, and the terms of the loss made of what the rows are made of."""

    terms: Mapping[str, Tensor]

    @classmethod
    def of(cls, rows: Rows, terms: Mapping[str, Tensor]) -> Self:
        """Put terms to rows."""
        both = cls(*rows)
        both.terms = terms
        return both


def terms_of(rows: Rows) -> dict[str, Tensor]:
    """Return the terms that rows carry.

    Raises:
        TypeError: they carry none; a model's penalties are those of the rows that its ``batch_rows`` has made.

    Example:
        >>> import torch
        >>> rows = Rows(*torch.zeros(3, 1, 2))
        >>> terms_of(RowsAndTerms.of(rows, {"contrast": torch.tensor(1.0)}))
        {'contrast': tensor(1.)}
    """
    if not isinstance(rows, RowsAndTerms):
        raise TypeError(
            f"penalties() must be given the rows that batch_rows() returned (got {type(rows).__name__}); pass them on"
        )
    return dict(rows.terms)

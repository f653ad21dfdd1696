"""Rows of a batch together with terms of the loss, for models whose terms are made of what the rows are made of."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from torch import Tensor

from mmgraph.models.base import Recommender
from mmgraph.models.batch import Batch, Embeddings, Rows, rows_of


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


class OwnCriterion(Recommender):
    """Base of models whose ranking term is made of what their other terms are made of, and compares no scores.

    A model around one ranks with its vectors by another criterion, and takes all terms but that one along.

    Attributes:
        ranking_term: Name of the term.
    """

    ranking_term: ClassVar[str]

    def encode(self) -> Embeddings:
        """Return the vectors that score."""
        return self._vectors(self._state())

    def batch_rows(self, batch: Batch) -> Rows:
        """Return the same of a batch, and all terms but the ranking one."""
        state = self._state()
        terms = self._terms(batch, state)
        del terms[self.ranking_term]
        return RowsAndTerms.of(rows_of(self._vectors(state), batch), terms)

    def penalties(self, batch: Batch, rows: Rows) -> dict[str, Tensor]:
        """Return all terms but the ranking one."""
        return terms_of(rows)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return all terms."""
        return self._terms(batch, self._state())

    def _state(self) -> Any:
        """Return what vectors and terms are made of."""
        raise TypeError(f"{type(self).__name__} must define _state()")

    def _vectors(self, state: Any) -> Embeddings:
        """Return the vectors that score."""
        raise TypeError(f"{type(self).__name__} must define _vectors()")

    def _terms(self, batch: Batch, state: Any) -> dict[str, Tensor]:
        """Return all terms of the loss."""
        raise TypeError(f"{type(self).__name__} must define _terms()")

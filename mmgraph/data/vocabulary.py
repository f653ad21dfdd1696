"""External ids and the contiguous indices that stand for them.

Everything after the data room works with indices ``0 .. n-1``. A vocabulary is saved with every
model, so that recommendations can be given in the ids of the catalogue again.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mmgraph.errors import DataError

# The bound keeps int() linear and below Python's limit on digits; longer ids sort as text.
_INTEGER = re.compile(r"-?[0-9]{1,1000}", re.ASCII)


def _sorted_ids(ids: Iterable[str]) -> list[str]:
    values = list(ids)
    if all(_INTEGER.fullmatch(value) for value in values):
        return sorted(values, key=lambda value: (int(value), value))
    return sorted(values)


class Vocabulary:
    """A fixed, ordered set of external ids; the index of an id is its place.

    Ids are always strings: ``"007"`` and ``"7"`` are two ids.

    Args:
        ids: Distinct ids in index order. Use :meth:`build` to get the canonical order.

    Raises:
        DataError: An id occurs twice.

    Example:
        >>> vocabulary = Vocabulary.build(["10", "9", "10"])
        >>> vocabulary.ids
        ('9', '10')
        >>> vocabulary.index("10")
        1
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids: tuple[str, ...] = tuple(ids)
        if len(set(self.ids)) != len(self.ids):
            seen: set[str] = set()
            for row, value in enumerate(self.ids):
                if value in seen:
                    raise DataError(
                        f"vocabulary: ids must be distinct (got {value!r} again at index {row}); "
                        "drop the repetition"
                    )
                seen.add(value)

    @classmethod
    def build(cls, values: pl.Series | NDArray[np.generic] | Iterable[str]) -> Self:
        """Collect the distinct ids and put them in canonical order.

        The order is numeric when every id is an integer (ties such as ``"07"`` and ``"7"`` by
        text), else lexicographic, so it does not depend on the order of the rows in a file.

        Args:
            values: Ids, with repetitions; a polars series, an array or any iterable of strings.

        Returns:
            The vocabulary of the distinct ids.

        Complexity:
            O(n) to find the distinct ids and O(d log d) to sort the d of them.
        """
        return cls(_sorted_ids(_as_strings(values).unique().to_list()))

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids in index order."""
        return iter(self.ids)

    def __contains__(self, external_id: object) -> bool:
        """Return whether the id is known."""
        return external_id in self._index

    def __getitem__(self, index: int) -> str:
        """Return the external id of an index."""
        return self.ids[index]

    def __eq__(self, other: object) -> bool:
        """Two vocabularies are equal when they hold the same ids in the same order."""
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.ids == other.ids

    def __hash__(self) -> int:
        """Hash of the ids in order."""
        return hash(self.ids)

    def __repr__(self) -> str:
        """Short form; a vocabulary may hold a million ids."""
        return f"Vocabulary({len(self)} ids)"

    @cached_property
    def _index(self) -> dict[str, int]:
        return {value: index for index, value in enumerate(self.ids)}

    @cached_property
    def _lookup(self) -> pl.DataFrame:
        return pl.DataFrame(
            {"id": pl.Series(self.ids, dtype=pl.String), "index": np.arange(len(self.ids))}
        )

    @cached_property
    def hash(self) -> str:
        """Sha256, in hexadecimal, of the ids in index order."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def index(self, external_id: str) -> int:
        """Return the index of one external id.

        Args:
            external_id: The id as in the raw files.

        Returns:
            Its index.

        Raises:
            DataError: The id is unknown; the nearest known id is named.
        """
        try:
            return self._index[str(external_id)]
        except KeyError:
            raise DataError(self._unknown(str(external_id))) from None

    def encode(
        self,
        values: pl.Series | NDArray[np.generic] | Iterable[str],
        *,
        unknown: Literal["raise", "mark"] = "raise",
    ) -> NDArray[np.int64]:
        """Return the indices of many external ids at once.

        Args:
            values: External ids; numbers are taken as their decimal text.
            unknown: ``"raise"``, or ``"mark"`` to get -1 for an unknown id.

        Returns:
            One index a value.

        Raises:
            DataError: An id is unknown and ``unknown`` is ``"raise"``.

        Complexity:
            One hash join: O(n + number of ids).
        """
        wanted = _as_strings(values)
        joined = pl.DataFrame({"id": wanted}).join(
            self._lookup, on="id", how="left", maintain_order="left"
        )
        index = joined["index"].fill_null(-1).to_numpy()
        if unknown == "raise" and len(index) and index.min() < 0:
            row = int(np.argmin(index >= 0))
            raise DataError(self._unknown(str(wanted[row])))
        return np.array(index, dtype=np.int64)

    def to_json(self) -> str:
        """Return the vocabulary as one JSON array of strings."""
        return json.dumps(list(self.ids), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild a vocabulary, in the same order, from :meth:`to_json`.

        Args:
            text: A JSON array of distinct strings.

        Returns:
            The vocabulary.

        Raises:
            DataError: The text is not such an array.
        """
        try:
            ids = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"vocabulary: not valid JSON: {error}; save it again") from None
        if not isinstance(ids, list) or not all(isinstance(value, str) for value in ids):
            raise DataError(
                f"vocabulary: must be a JSON array of strings (got {text[:40]!r}); save it again"
            )
        return cls(ids)

    def _unknown(self, external_id: str) -> str:
        close = difflib.get_close_matches(external_id, self.ids, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"ids look like {list(self.ids[:3])}"
        return f"id {external_id!r} is not one of the {len(self)} known ids; {hint}"


def _as_strings(values: pl.Series | NDArray[np.generic] | Iterable[str]) -> pl.Series:
    if isinstance(values, np.ndarray):
        return pl.Series("id", values).cast(pl.String)
    if not isinstance(values, pl.Series):
        values = pl.Series("id", list(values), dtype=pl.String)
    return values.cast(pl.String)

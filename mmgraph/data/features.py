"""One modality of the items: a matrix keyed by item id, and which items it has.

A missing row is a fact, kept in a mask; the zeros that stand in its place mean nothing. Files are
memory-mapped and read in blocks, so that only the rows of items in the data set are ever copied.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from mmgraph.data.card import FeatureCard
from mmgraph.data.tables import existing_file, read_ids
from mmgraph.data.vocabulary import Vocabulary
from mmgraph.errors import DataError
from mmgraph.files import sha256_of

_NPY_MAGIC = b"\x93NUMPY"
# What a damaged header can make of numpy's parser of Python literals.
_HEADER_ERRORS = (
    EOFError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TokenError,
    TypeError,
    ValueError,
)
_SAFETENSORS_DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64"}
_BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True, eq=False)
class ModalityFeatures:
    """The vectors of one modality, one row an item of the data set.

    Attributes:
        name: Name of the modality.
        x: Vectors; rows of items without one are zero.
        present: Which items have a vector.
        provenance: File, sha256 of the file, encoder, dtype on disk, rows, zero_rows and
            rows_without_item, all as text.

    Shapes:
        x ``(num_items, dim)`` float32; present ``(num_items,)`` bool.
    """

    name: str
    x: NDArray[np.float32]
    present: NDArray[np.bool_]
    provenance: Mapping[str, str]

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.x.shape[1])

    @property
    def coverage(self) -> float:
        """Share of the items that have a vector."""
        return float(self.present.mean()) if len(self.present) else 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know: missing items and all-zero rows."""
        notes = []
        missing = len(self.present) - int(self.present.sum())
        if missing:
            notes.append(
                f"{self.name}: {missing} of {len(self.present)} items have no vector "
                f"({self.coverage:.1%} have one)."
            )
        zero_rows = self.provenance.get("zero_rows", "0")
        if zero_rows != "0":
            notes.append(f"{self.name}: {zero_rows} all-zero rows count as missing.")
        return tuple(notes)


@dataclass(frozen=True)
class _Matrix:
    """An opened feature file: its shape, its dtype on disk, and a way to read a range of rows."""

    rows: int
    dim: int
    dtype: str
    read: Callable[[int, int], NDArray[np.floating]]


def read_features(
    folder: Path, name: str, *, card: FeatureCard, items: Vocabulary
) -> ModalityFeatures:
    """Read the vectors of one modality for the items of a data set.

    Rows are matched by the ids file, or, without one, row r belongs to the item with id r. Rows of
    items that are not in the data set are skipped; items without a row, or with a row of zeros
    only, are marked as missing.

    Args:
        folder: The data-set folder.
        name: Name of the modality.
        card: Its ``[features.<name>]`` table.
        items: Items of the data set.

    Returns:
        The vectors in item order with mask and provenance.

    Raises:
        DataError: The file is missing, damaged, pickled or not a matrix of floats; ids and rows do
            not match; a value is not finite; or no item has a vector.

    Complexity:
        Reads the file once for its hash and the blocks that hold needed rows once more; memory
        beyond the result is one block.
    """
    path = existing_file(folder, card.file)
    with _open_matrix(path, card.file) as matrix:
        if card.ids is None:
            row_of_item = _rows_by_position(items, matrix.rows, name=name, file=card.file)
            without_item = matrix.rows - len(items)
        else:
            ids = read_ids(folder, card.ids)
            if len(ids) != matrix.rows:
                raise DataError(
                    f"{card.ids}: ids must match the rows of {card.file} one to one "
                    f"(got {len(ids)} ids below the header for {matrix.rows} rows); "
                    "write both files again"
                )
            item_of_row = items.encode(ids, unknown="mark")
            known = np.flatnonzero(item_of_row >= 0)
            row_of_item = np.full(len(items), -1, dtype=np.int64)
            row_of_item[item_of_row[known]] = known
            without_item = matrix.rows - len(known)
        x = _gather(matrix, row_of_item, file=card.file)
    present = np.asarray(x.any(axis=1), dtype=np.bool_)
    zero_rows = int((row_of_item >= 0).sum() - present.sum())
    if not present.any():
        raise DataError(
            f"{card.file}: at least one item needs a vector of {name!r} that is not zero "
            f"(got none for {len(items)} items); check features.{name}.ids against the item ids "
            "or leave the modality out"
        )
    provenance = {
        "file": card.file,
        "sha256": sha256_of(path),
        "encoder": card.encoder,
        "dtype": matrix.dtype,
        "rows": str(matrix.rows),
        "zero_rows": str(zero_rows),
        "rows_without_item": str(without_item),
    }
    return ModalityFeatures(name, x, present, provenance)


def _rows_by_position(
    items: Vocabulary, num_rows: int, *, name: str, file: str
) -> NDArray[np.int64]:
    rows = np.empty(len(items), dtype=np.int64)
    for index, external_id in enumerate(items.ids):
        # "007" is not the row 7: only the plain decimal form is a row number, else two ids could
        # claim one row.
        is_row = external_id.isascii() and external_id.isdecimal() and len(external_id) < 19
        if not is_row or str(int(external_id)) != external_id or int(external_id) >= num_rows:
            raise DataError(
                f"{file}: without an ids file item ids must be row numbers 0 to {num_rows - 1} "
                f"(got item {external_id!r}); add features.{name}.ids"
            )
        rows[index] = int(external_id)
    return rows


def _gather(matrix: _Matrix, row_of_item: NDArray[np.int64], *, file: str) -> NDArray[np.float32]:
    """Copy the row of each item, in blocks of the file; items without a row get zeros."""
    x = np.zeros((len(row_of_item), matrix.dim), dtype=np.float32)
    order = np.argsort(row_of_item, kind="stable")
    order = order[row_of_item[order] >= 0]
    rows = row_of_item[order]
    step = max(1, _BLOCK_BYTES // (matrix.dim * 8))
    for start in range(0, matrix.rows, step):
        stop = min(start + step, matrix.rows)
        low, high = np.searchsorted(rows, [start, stop])
        if low == high:
            continue
        values = matrix.read(start, stop)[rows[low:high] - start]
        # A float64 beyond the range of float32 becomes infinite here and is reported below.
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            place, column = (int(axis[0]) for axis in np.nonzero(~finite))
            raise DataError(
                f"{file} row {rows[low + place]}, column {column} (counted from 0): "
                f"features must be finite float32 numbers (got {values[place, column]}); "
                "correct the encoder or leave the item out"
            )
        x[order[low:high]] = values
    return x


@contextmanager
def _open_matrix(path: Path, file: str) -> Iterator[_Matrix]:
    opened = _open_safetensors if path.suffix == ".safetensors" else _open_npy
    with opened(path, file) as matrix:
        yield matrix


def _check_layout(file: str, shape: tuple[int, ...], dtype: str | None, *, on_disk: str) -> str:
    if len(shape) != 2:
        raise DataError(
            f"{file}: features must be a matrix with one row an item (got shape {shape}); "
            "reshape the array"
        )
    if min(shape) < 1:
        raise DataError(
            f"{file}: features need at least one row and one column "
            f"(got {shape[0]} x {shape[1]}); write the file again"
        )
    if dtype is None:
        raise DataError(
            f"{file}: features must be float16, float32 or float64 (got {on_disk}); "
            "convert the array"
        )
    return dtype


def _read_npy_header(
    stream: BinaryIO, file: str
) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    try:
        if np.lib.format.read_magic(stream) == (1, 0):
            return np.lib.format.read_array_header_1_0(stream)
        return np.lib.format.read_array_header_2_0(stream)
    except _HEADER_ERRORS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{file}: the header of the .npy file is damaged ({reason}); copy the file again"
        ) from None


@contextmanager
def _open_npy(path: Path, file: str) -> Iterator[_Matrix]:
    with path.open("rb") as stream:
        start = stream.read(len(_NPY_MAGIC))
        if start[:1] == b"\x80":
            raise DataError(
                f"{file}: is a pickle, which is never loaded because that could run code; "
                "save the array with numpy.save"
            )
        if start != _NPY_MAGIC:
            raise DataError(f"{file}: is not a .npy file; save the array with numpy.save")
        stream.seek(0)
        shape, fortran, dtype = _read_npy_header(stream, file)
        offset = stream.tell()
    if dtype.hasobject:
        raise DataError(
            f"{file}: holds Python objects (dtype {dtype}), which are never loaded because that "
            "could run code; save a float32 array"
        )
    is_float = dtype.kind == "f" and dtype.itemsize in (2, 4, 8)
    name = _check_layout(file, shape, dtype.name if is_float else None, on_disk=str(dtype))
    expected = offset + shape[0] * shape[1] * dtype.itemsize
    size = path.stat().st_size
    if size < expected:
        raise DataError(
            f"{file}: is truncated (needs {expected} bytes for {shape[0]} x {shape[1]} {name}, "
            f"has {size}); copy the file again"
        )
    order: Literal["F", "C"] = "F" if fortran else "C"
    array = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
    yield _Matrix(shape[0], shape[1], name, lambda start, stop: array[start:stop])


@contextmanager
def _open_safetensors(path: Path, file: str) -> Iterator[_Matrix]:
    try:
        handle = safe_open(path, framework="np")
    except (SafetensorError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{file}: is damaged or not a safetensors file ({reason}); copy the file again"
        ) from None
    with handle as tensors:
        names = list(tensors.keys())
        shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
        matrices = [name for name, shape in shapes.items() if len(shape) == 2]
        chosen = ["features"] if "features" in shapes else matrices
        if len(chosen) != 1:
            raise DataError(
                f"{file}: must hold one matrix, or one called 'features' (got {sorted(names)}); "
                "save the vectors under that name"
            )
        rows = tensors.get_slice(chosen[0])
        on_disk = rows.get_dtype()
        shape = shapes[chosen[0]]
        dtype = _check_layout(file, shape, _SAFETENSORS_DTYPES.get(on_disk), on_disk=on_disk)
        yield _Matrix(shape[0], shape[1], dtype, lambda start, stop: rows[start:stop])

"""Feature files: matched by id or position, damaged, pickled, or with values that are no numbers."""

import hashlib
import io
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mmgraph.data import features as features_module
from mmgraph.data.card import FeatureCard
from mmgraph.data.features import ModalityFeatures, read_features
from mmgraph.data.vocabulary import Vocabulary
from mmgraph.errors import DataError

ITEMS = Vocabulary(["2", "10", "30"])


def read(folder: Path, file: str, *, ids: str | None = "ids.csv") -> ModalityFeatures:
    card = FeatureCard(file=file, ids=ids, encoder="enc")
    return read_features(folder, "text", card=card, items=ITEMS)


def write_ids(folder: Path, *ids: object) -> None:
    (folder / "ids.csv").write_text("id\n" + "".join(f"{value}\n" for value in ids))


def matrix(rows: int, dim: int = 3, dtype: str = "float32") -> np.ndarray:
    return (np.arange(rows * dim).reshape(rows, dim) + 1).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_rows_go_to_their_items(tmp_path: Path, dtype: str, order: str) -> None:
    x = matrix(4, dtype=dtype)
    np.save(tmp_path / "f.npy", np.asarray(x, order=order))
    write_ids(tmp_path, 30, "x", 2, "10x")
    found = read(tmp_path, "f.npy")
    assert found.x.dtype == np.float32
    assert found.x.tolist() == [[7, 8, 9], [0, 0, 0], [1, 2, 3]]
    assert found.present.tolist() == [True, False, True]
    assert found.dim == 3
    assert found.coverage == pytest.approx(2 / 3)
    assert dict(found.provenance) == {
        "file": "f.npy",
        "sha256": hashlib.sha256((tmp_path / "f.npy").read_bytes()).hexdigest(),
        "encoder": "enc",
        "dtype": np.dtype(dtype).name,
        "rows": "4",
        "zero_rows": "0",
        "rows_without_item": "2",
    }
    assert found.notes == ("text: 1 of 3 items have no vector (66.7% have one).",)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("names", [("vectors",), ("features", "other")])
def test_safetensors_rows_go_to_their_items(
    tmp_path: Path, dtype: str, names: tuple[str, ...]
) -> None:
    tensors = {name: matrix(3, dtype=dtype) + place for place, name in enumerate(names)}
    save_file({**tensors, "one_dimensional": np.arange(5)}, tmp_path / "f.safetensors")
    write_ids(tmp_path, 10, 2, 30)
    found = read(tmp_path, "f.safetensors")
    assert found.x.tolist() == [[4, 5, 6], [1, 2, 3], [7, 8, 9]]
    assert found.provenance["dtype"] == dtype
    assert found.notes == ()


def test_a_second_column_of_the_ids_file_is_ignored(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", matrix(2))
    (tmp_path / "ids.csv").write_text("id,title\n2,a\n30,b\n")
    assert read(tmp_path, "f.npy").present.tolist() == [True, False, True]


def test_blocks_do_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "f.npy", matrix(7))
    write_ids(tmp_path, "a", 30, "b", "c", 2, "d", 10)
    whole = read(tmp_path, "f.npy").x
    for size in (1, 24, 48, 72):
        monkeypatch.setattr(features_module, "_BLOCK_BYTES", size)
        assert np.array_equal(read(tmp_path, "f.npy").x, whole)


@pytest.mark.parametrize("ending", ["npy", "safetensors"])
def test_only_needed_rows_are_copied(tmp_path: Path, ending: str) -> None:
    # 128 MiB on disk, three rows wanted: the whole file must never be in memory.
    x = np.ones((2**15, 1024), dtype=np.float32)
    if ending == "npy":
        np.save(tmp_path / "f.npy", x)
    else:
        save_file({"features": x}, tmp_path / "f.safetensors")
    del x
    tracemalloc.start()
    found = read(tmp_path, f"f.{ending}", ids=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.present.all()
    assert peak < 64 * 2**20


def test_by_position_row_r_is_item_r(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", matrix(31, dim=1))
    found = read(tmp_path, "f.npy", ids=None)
    assert found.x.tolist() == [[3], [11], [31]]
    assert found.provenance["rows_without_item"] == "28"


@pytest.mark.parametrize("wrong", ["31", "007", "-1", "B00", "²", "1" * 5000])
def test_by_position_needs_row_numbers_as_ids(tmp_path: Path, wrong: str) -> None:
    np.save(tmp_path / "f.npy", matrix(31))
    items = Vocabulary(["2", wrong])
    with pytest.raises(DataError, match=r"^f\.npy: without an ids file item ids must be row numb"):
        read_features(tmp_path, "text", card=FeatureCard(file="f.npy"), items=items)


def test_rows_of_zeros_are_missing_and_counted(tmp_path: Path) -> None:
    x = matrix(4)
    x[[0, 3]] = 0.0
    np.save(tmp_path / "f.npy", x)
    write_ids(tmp_path, 2, 10, 30, "not an item")
    found = read(tmp_path, "f.npy")
    assert found.present.tolist() == [False, True, True]
    assert found.provenance["zero_rows"] == "1"
    assert found.notes[1] == "text: 1 all-zero rows count as missing."


@pytest.mark.parametrize(
    ("value", "dtype"), [(np.nan, "f2"), (np.inf, "f4"), (-np.inf, "f8"), (1e300, "f8")]
)
def test_a_value_that_is_no_number_is_named(tmp_path: Path, value: float, dtype: str) -> None:
    x = matrix(3, dtype=dtype)
    x[1, 2] = value
    np.save(tmp_path / "f.npy", x)
    write_ids(tmp_path, 30, 10, 2)
    with pytest.raises(
        DataError, match=r"^f\.npy row 1, column 2 \(counted from 0\): features must be finite"
    ):
        read(tmp_path, "f.npy")
    # The row of something that is no item of the data set does no harm.
    write_ids(tmp_path, 30, "x", 2)
    assert read(tmp_path, "f.npy").present.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (
            (2, 10),
            "ids.csv: ids must match the rows of f.npy one to one (got 2 ids below the heade",
        ),
        ((2, 10, 2), "ids.csv rows 1 and 3: ids must be distinct (got '2' twice)"),
        (("a", "b", "c"), "f.npy: at least one item needs a vector of 'text' that is not zero"),
    ],
)
def test_ids_that_do_not_fit(tmp_path: Path, ids: tuple[object, ...], expected: str) -> None:
    np.save(tmp_path / "f.npy", matrix(3))
    write_ids(tmp_path, *ids)
    with pytest.raises(DataError, match="^" + re.escape(expected)):
        read(tmp_path, "f.npy")


def test_all_rows_zero_means_no_item_has_the_modality(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.zeros((3, 2)))
    write_ids(tmp_path, 2, 10, 30)
    with pytest.raises(
        DataError, match=r"at least one item needs a vector of 'text' .* \(got none for 3"
    ):
        read(tmp_path, "f.npy")


def npy_bytes(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def header_only(text: str) -> bytes:
    header = text.encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def object_header() -> bytes:
    # What numpy writes for an object array, followed by what would be a pickle.
    return (
        header_only("{'descr': '|O', 'fortran_order': False, 'shape': (3, 1), }\n") + b"\x80\x04."
    )


NPY = npy_bytes(matrix(3))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            object_header(),
            "holds Python objects (dtype object), which are never loaded because tha",
        ),
        (
            b"\x80\x04\x95.",
            "is a pickle, which is never loaded because that could run code; save t",
        ),
        (b"PK\x03\x04 a zip", "is not a .npy file; save the array with numpy.save"),
        (b"", "is not a .npy file; save the array with numpy.save"),
        (
            NPY[:-1],
            f"is truncated (needs {len(NPY)} bytes for 3 x 3 float32, has {len(NPY) - 1}); ",
        ),
        (NPY[:60], "the header of the .npy file is damaged ("),
        (NPY[:7], "the header of the .npy file is damaged ("),
        (header_only("{'descr': open('x')}"), "the header of the .npy file is damaged ("),
        (header_only("(" * 500), "the header of the .npy file is damaged ("),
        (b"\x93NUMPY\x09\x00" + NPY[8:], "the header of the .npy file is damaged ("),
        (npy_bytes(np.ones(3)), "features must be a matrix with one row an item (got shape (3,));"),
        (npy_bytes(np.ones((3, 1, 1))), "features must be a matrix with one row an item (got sha"),
        (npy_bytes(np.ones((3, 2), dtype=int)), "features must be float16, float32 or float64 (g"),
        (npy_bytes(np.ones((3, 2), dtype=bool)), "features must be float16, float32 or float64 ("),
        (npy_bytes(np.full((3, 2), "a")), "features must be float16, float32 or float64 (got <U1"),
        (npy_bytes(np.ones((0, 4))), "features need at least one row and one column (got 0 x 4); "),
        (npy_bytes(np.ones((3, 0))), "features need at least one row and one column (got 3 x 0); "),
        (
            header_only("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 10**9), }\n"),
            "the header of the .npy file is damaged (",
        ),
        (
            header_only("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 9999999999), }\n"),
            "is truncated (needs 1200000000",
        ),
        (
            header_only("{'descr': '<f4', 'fortran_order': False, 'shape': (-3, -3), }\n")
            + b"0" * 99,
            "features need at least one row and one column (got -3 x -3); ",
        ),
    ],
)
def test_a_bad_npy_is_one_line(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "f.npy").write_bytes(content)
    write_ids(tmp_path, 2, 10, 30)
    with pytest.raises(DataError, match="^f\\.npy: " + re.escape(expected)) as caught:
        read(tmp_path, "f.npy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["truncated", "garbage", "empty", "header"])
def test_damaged_safetensors_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "f.safetensors"
    save_file({"features": matrix(3)}, path)
    whole = path.read_bytes()
    content = {
        "truncated": whole[:-5],
        "garbage": b"\x80\x04 not safetensors at all",
        "empty": b"",
        "header": (2**40).to_bytes(8, "little") + whole[8:],
    }
    path.write_bytes(content[kind])
    write_ids(tmp_path, 2, 10, 30)
    with pytest.raises(
        DataError, match=r"^f\.safetensors: is damaged or not a safetensors [^\n]*$"
    ):
        read(tmp_path, "f.safetensors")


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({"a": matrix(3), "b": matrix(3)}, "must hold one matrix, or one called 'features' (got ["),
        ({"a": np.ones(3)}, "must hold one matrix, or one called 'features' (got ['a'])"),
        ({"features": np.ones(3), "b": matrix(3)}, "features must be a matrix with one row an ite"),
        ({"features": matrix(3, dtype="int32")}, "features must be float16, float32 or float64 (g"),
        ({"features": np.ones((0, 3))}, "features need at least one row and one column (got 0 x 3"),
    ],
)
def test_safetensors_with_the_wrong_tensors(
    tmp_path: Path, tensors: dict[str, np.ndarray], expected: str
) -> None:
    save_file(tensors, tmp_path / "f.safetensors")
    write_ids(tmp_path, 2, 10, 30)
    with pytest.raises(DataError, match="^f\\.safetensors: " + re.escape(expected)):
        read(tmp_path, "f.safetensors")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^f\.npy: no such file in "):
        read(tmp_path, "f.npy")
    np.save(tmp_path / "f.npy", matrix(3))
    with pytest.raises(DataError, match=r"^ids\.csv: no such file in "):
        read(tmp_path, "f.npy")

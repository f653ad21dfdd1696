"""The rows of a search: lengths, chunks, sums, and which copies are worth searching."""

import os
from pathlib import Path

import numpy as np
import pytest

from mmgraph.graph.knn.rows import (
    build_rows,
    find_copies,
    for_chunks,
    has_whole_numbers,
    read_matrix,
    release_pages,
    scaled_rows,
    sum_rows,
)


def rows_of(x, metric="cosine"):
    return build_rows(x, np.arange(len(x)), metric)


def test_rows_are_scaled_for_a_search_and_zero_rows_drop_out():
    x = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]], dtype=np.float32)
    rows = rows_of(x)
    assert rows.present.tolist() == [0, 2]
    assert rows.norm.tolist() == [5.0, 2.0]
    assert rows.square.tolist() == [25.0, 4.0]
    assert rows.scale.tolist() == [5.0, 2.0]
    assert rows.unit == 1.0
    buffer = np.empty((5, 2))
    scaled = scaled_rows(rows, np.array([1, 0]), buffer)
    assert np.shares_memory(scaled, buffer)
    np.testing.assert_allclose(scaled, [[0.0, -1.0], [0.6, 0.8]], rtol=1e-15)
    rows = rows_of(x, "l2")
    assert rows.present.tolist() == [0, 1, 2]
    assert rows.scale.tolist() == [5.0] * 3
    assert rows.unit == 25.0
    assert rows_of(np.zeros((2, 3)), "inner_product").unit == 1.0


def test_rows_are_selected_by_position():
    x = np.random.default_rng(0).standard_normal((9, 3))
    rows = build_rows(x, np.array([1, 3, 4, 8]), "l2")
    some = rows.select(np.array([0, 2]))
    assert some.present.tolist() == [1, 4]
    np.testing.assert_allclose(some.norm, np.linalg.norm(x[[1, 4]], axis=1), rtol=1e-15)
    assert len(some) == 2
    assert some.dim == 3


@pytest.mark.parametrize("threads", [1, 3])
def test_every_chunk_is_worked_on_once(threads, with_threads):
    with_threads(threads)
    seen = np.zeros(1000, np.int64)

    def work(part, buffer):
        assert buffer.shape == (7, 10)
        seen[part] += 1

    for_chunks(1000, 10, work, chunk_values=75)
    assert (seen == 1).all()


def test_errors_of_threads_are_not_lost(with_threads):
    def work(part, buffer):
        raise OverflowError

    for threads in (1, 2):
        with_threads(threads)
        with pytest.raises(OverflowError):
            for_chunks(100, 1, work, chunk_values=10)


def test_lengths_are_taken_in_float64():
    assert rows_of(np.array([[1e-30, 0.0], [3e30, 4e30]], dtype=np.float32)).norm.tolist() == (
        pytest.approx([1e-30, 5e30], rel=1e-6)
    )


def test_only_the_first_copies_are_searched():
    x = np.random.default_rng(1).standard_normal((10, 3)).astype(np.float32)
    x[[2, 4, 5, 9]] = x[2]
    x[7] = -x[2]
    kept, copies, first = find_copies(rows_of(x), 2)
    assert kept.tolist() == [0, 1, 2, 3, 4, 6, 7, 8]
    assert (copies.tolist(), first.tolist()) == ([5, 9], [2, 2])
    kept, copies, first = find_copies(rows_of(x), 4)
    assert kept.tolist() == list(range(10))
    assert (copies.tolist(), first.tolist()) == ([], [])
    # Positions, not rows of the source.
    kept, copies, first = find_copies(build_rows(x, np.array([4, 5, 6, 9]), "l2"), 1)
    assert (kept.tolist(), copies.tolist(), first.tolist()) == ([0, 2], [1, 3], [0, 0])


def test_rows_of_equal_length_are_not_taken_for_copies():
    assert find_copies(rows_of(np.eye(6)), 1)[0].tolist() == list(range(6))


def test_a_matrix_is_viewed_not_copied():
    x = np.zeros((3, 2), dtype=np.float16)
    assert np.shares_memory(read_matrix(x), x)
    assert read_matrix(x).dtype == np.float16
    swapped = read_matrix(np.ones((3, 2), ">f4"))
    assert swapped.dtype.isnative
    assert (swapped == 1).all()
    assert read_matrix(np.ones((4, 3)).T).flags.c_contiguous
    assert read_matrix(np.ones((4, 6))[:, ::2]).flags.c_contiguous


@pytest.mark.parametrize("dim", [1, 2, 3, 37, 4096, 9001])
def test_a_sum_of_a_row_is_its_own(dim):
    values = np.random.default_rng(2).standard_normal((7, dim))
    together = sum_rows(values.copy())
    alone = [sum_rows(values[i : i + 1].copy())[0] for i in range(7)]
    assert together.tolist() == alone
    assert together == pytest.approx(values.astype(np.longdouble).sum(1).astype(float), rel=1e-11)


def test_whole_numbers_are_recognised_while_their_products_are_exact():
    x = np.random.default_rng(3).integers(-5, 6, (20, 4)).astype(np.float32)
    assert has_whole_numbers(rows_of(x))
    assert not has_whole_numbers(rows_of(x + np.eye(20, 4, dtype=np.float32) / 2))
    assert not has_whole_numbers(rows_of(x.astype(np.float64) * 2.0**30))


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_releasing_pages_keeps_every_number(tmp_path, mode):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(50_000, dtype=np.float32).reshape(-1, 50))
    mapped = np.load(path, mmap_mode=mode)
    if mode != "r":
        mapped[3] = -1.0
    before = mapped.copy()
    for source in (mapped, np.asarray(mapped), mapped[10:20], before):
        expected = source.copy()
        release_pages(source)
        assert np.array_equal(source, expected)
    assert np.array_equal(mapped, before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system tells no pages")
def test_released_pages_of_a_file_take_no_memory(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((4096, 4096), dtype=np.float32))
    mapped = np.asarray(np.load(tmp_path / "x.npy", mmap_mode="r"))

    def file_pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGE_SIZE")

    assert mapped.sum() == mapped.size
    held = file_pages()
    release_pages(mapped)
    assert held - file_pages() > 0.9 * mapped.nbytes

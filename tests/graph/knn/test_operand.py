"""Low precision: products stay within their error, bounds made of them are never too sharp."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.graph.knn.canonical import exact_scores
from mmgraph.graph.knn.operand import DTYPES, build_operand, full_precision
from mmgraph.graph.knn.rows import build_rows

CPU = torch.device("cpu")


def product_of(x, metric, precision, seed=0):
    """Return rows in a random order, their operand, all keys, and all exact scores / unit."""
    rows = build_rows(x, np.arange(len(x)), metric)
    size = len(rows)
    order = np.random.default_rng(seed).permutation(size)
    operand = build_operand(rows, order, padded=size + 5, precision=precision, device=CPU)
    assert operand.left.shape == operand.right.shape
    assert operand.left.size(0) == size + 5
    assert not operand.left[size:].any()
    assert operand.left.dtype == operand.right.dtype == DTYPES[precision][0]
    key = operand.keys(operand.left[:size] @ operand.right[:size].T)
    one, other = (part.ravel() for part in np.meshgrid(order, order, indexing="ij"))
    exact = exact_scores(rows, one, other).reshape(size, size) / operand.unit
    return operand, key, exact


def assert_sound(x, metric, precision):
    operand, key, exact = product_of(x, metric, precision)
    size = len(key)
    others = ~np.eye(size, dtype=bool)
    value = operand.values(key)
    sign = -1 if metric == "l2" else 1
    # Half a unit in the last place: eight bits of bfloat16 hold the leading one.
    rounding = {"bfloat16": 2.0**-8, "float32": 0.0}[precision]
    allowed = operand.error[:, None] * (1 + rounding) + rounding * np.abs(exact) + 1e-14
    assert (np.abs(sign * value - exact) <= allowed)[others].all()

    bits = key.numpy().astype(np.int64)
    row, column = np.nonzero(others)
    usable = (bits[row, column] >= 0) | (metric == "l2")
    row, column = row[usable], column[usable]
    bound = operand.upper_bound(key[torch.from_numpy(row), torch.from_numpy(column)], row)
    assert (bound >= exact[row, column] * operand.unit - 1e-13 * operand.unit).all()

    exact[~others], bits[~others] = -np.inf, np.iinfo(np.int64).min
    some_sound = False
    for count in {1, 2, size // 2, size - 1}:
        if not 0 < count < size:
            continue
        kth = np.partition(bits, size - count, axis=1)[:, size - count]
        kth_key = torch.from_numpy(kth).to(key.dtype)
        threshold, sound = operand.threshold(kth_key, slice(0, size))
        some_sound |= bool(sound.any())
        last = np.partition(exact, size - count, axis=1)[:, size - count, None]
        lost = (exact >= last) & (bits < threshold.numpy().astype(np.int64)[:, None])
        assert not lost[sound].any()
        assert (threshold.numpy()[sound] <= kth[sound]).all()
        # A smaller key than the count-th never bounds more.
        lower, _ = operand.threshold(kth_key - (kth_key > 5).to(key.dtype) * 5, slice(0, size))
        assert bool((lower <= threshold)[torch.from_numpy(sound)].all())
    return some_sound


def test_bounds_are_sound(kind, metric, precision, features):
    found = [assert_sound(features(kind, 90, dim), metric, precision) for dim in (3, 70)]
    assert any(found)


@settings(max_examples=150)
@given(
    st.integers(2, 40),
    st.integers(1, 5),
    st.integers(0, 2**16),
    st.sampled_from(["cosine", "inner_product", "l2"]),
    st.sampled_from(["bfloat16", "float32"]),
    st.integers(-30, 0),
)
def test_bounds_are_sound_for_short_binary_fractions(
    num_items, dim, seed, metric, precision, power
):
    generator = np.random.default_rng(seed)
    x = generator.integers(-8, 9, (num_items, dim)) / 8.0
    # The largest length is a power of two: nothing but the product is rounded in bfloat16.
    x[0], x[0, 0] = 0, 4
    if power > -20:
        x[1:] += generator.integers(-1, 2, (num_items - 1, dim)) * 2.0**power
    x[~x.any(axis=1)] = 1
    assert_sound(x, metric, precision)


@pytest.mark.parametrize("factor", [1e-130, 1e-30, 1e30, 1e140])
def test_bounds_are_sound_at_any_scale(factor, metric, precision, features):
    assert_sound(features("lengths", 60, 9).astype(np.float64) * factor, metric, precision)


def test_nothing_is_lost_between_a_row_and_itself(precision):
    # Distances of zero come out a little below it, or above.
    x = np.random.default_rng(0).standard_normal((1, 40)) + 3
    x = np.repeat(x, 30, axis=0)
    x[20:] += 1e-3
    assert assert_sound(x, "l2", precision)


def test_the_error_is_small_enough_to_be_of_use(metric, features):
    x = features("isotropic", 200, 64)
    for precision, most in (("bfloat16", 2.0**-7), ("float32", 2.0**-15)):
        operand, _, _ = product_of(x, metric, precision)
        assert operand.error.max() < most
    if metric == "inner_product":
        # A short row has a small error, though others are long.
        x[7] *= 1e-3
        operand, _, _ = product_of(x, metric, "float32")
        assert operand.error.min() < operand.error.max() / 500


def test_keys_are_ordered_like_products(precision):
    value = torch.tensor([0.0, 1e-30, 0.25, 0.5, 1.0, 1.5]).to(DTYPES[precision][0])
    for metric, sign in (("cosine", 1), ("l2", -1)):
        rows = build_rows(np.eye(3, dtype=np.float32), np.arange(3), metric)
        operand = build_operand(rows, np.arange(3), padded=3, precision=precision, device=CPU)
        key = operand.keys(value.clone())
        assert bool((sign * key.long().diff() > 0).all())
        np.testing.assert_array_equal(operand.values(key), value.double().numpy())


def test_rows_with_too_few_positive_products_have_no_bound():
    rows = build_rows(np.array([[1.0, 0.0], [-1.0, 0.0], [0.5, 1.0]]), np.arange(3), "cosine")
    for precision in DTYPES:
        operand = build_operand(rows, np.arange(3), padded=3, precision=precision, device=CPU)
        key = operand.keys(operand.left @ operand.right.T)
        _, sound = operand.threshold(key[:, 1].contiguous(), slice(0, 3))
        assert sound.tolist() == [False, True, False]


def test_whoever_allowed_coarser_products_is_overruled_and_restored():
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "bf16"
        with full_precision(torch.device("cpu")):
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "bf16"
    finally:
        matmul.fp32_precision = before

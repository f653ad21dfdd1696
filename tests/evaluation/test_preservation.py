"""How much of the features is left in the final vectors: against the oracle, by hand, and by its invariances."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mmgraph.errors import ConfigError, DataError
from mmgraph.evaluation import high_degree_items, similarity_change
from mmgraph.testing import oracles


def made(rows: int, *, seed: int = 0, dim: int = 5, width: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    final = torch.randn((rows, dim), generator=generator)
    features = torch.randn((rows, width), generator=generator)
    return final, features


def close(actual: Tensor, expected: Any, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=tolerance, equal_nan=True)


@given(
    rows=st.integers(2, 12),
    seed=st.integers(0, 10**6),
    block_size=st.integers(1, 13),
    scale=st.sampled_from([1e-30, 1.0, 1e30]),
)
def test_equals_the_oracle(rows: int, seed: int, block_size: int, scale: float) -> None:
    final, features = made(rows, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(rows, generator=generator) < 0.8
    present[:2] = True
    final[torch.rand(rows, generator=generator) < 0.2] = 0
    final *= scale
    result = similarity_change(final, features, present=present, block_size=block_size)
    assert result.dtype == torch.float64
    close(result, oracles.similarity_change(final.double(), features.double(), present))


def test_worked_by_hand() -> None:
    # cos f: (0,1) = 1, (0,2) = -1, (1,2) = -1; cos x: (0,1) = 0.6, (0,2) = 0, (1,2) = 0.8.
    final = torch.tensor([[2.0], [1.0], [-3.0]])
    features = torch.tensor([[5.0, 0.0], [3.0, 4.0], [0.0, 0.1]])
    close(similarity_change(final, features), [0.7, 1.1, 1.4])


def test_a_final_vector_of_zeros_is_similar_to_nothing() -> None:
    final = torch.tensor([[0.0], [1.0], [1.0]])
    features = torch.tensor([[1.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    close(similarity_change(final, features), [0.6, 0.3, 0.3])


def test_items_without_the_modality_take_no_part_on_either_side() -> None:
    final, features = made(9)
    present = torch.tensor([True] * 6 + [False] * 3)
    result = similarity_change(final, features, present=present)
    close(result[:6], similarity_change(final[:6], features[:6]))
    assert result[6:].isnan().all()
    # What stands in the rows of absent items means nothing; a row of zeros is absent itself.
    features[6:] = 7.0
    assert torch.equal(result[:6], similarity_change(final, features, present=present)[:6])
    features[6:] = 0.0
    assert torch.equal(result[:6], similarity_change(final, features)[:6])


def test_nothing_changes_where_the_final_vectors_are_the_features() -> None:
    _, features = made(30)
    assert similarity_change(features.clone(), features, block_size=7).max() == 0


@pytest.mark.parametrize("block_size", [4, 64])
def test_invariances(block_size: int) -> None:
    final, features = made(40)
    expected = similarity_change(final, features, block_size=block_size)
    orthogonal = torch.linalg.qr(made(5)[0].T @ made(5)[0]).Q
    factors = torch.rand(40, 1) + 0.1
    for other in (-final, final @ orthogonal, final * factors):
        close(similarity_change(other, features, block_size=block_size), expected)
    for other in (-features, features * factors):
        close(similarity_change(final, other, block_size=block_size), expected)
    order = torch.randperm(40)
    close(similarity_change(final[order], features[order]), expected[order])
    assert not torch.allclose(similarity_change(final * torch.randn(40, 1), features), expected)


def test_lies_between_zero_and_two() -> None:
    # Opposite: every pair goes from 1 to -1 or stays, and rounded cosines may be beyond 1.
    features = torch.full((2, 7), 0.1)
    final = torch.tensor([[0.3, 0.7, 0.1], [-0.3, -0.7, -0.1]])
    result = similarity_change(final, features)
    close(result, [2.0, 2.0])
    assert result.max() <= 2
    assert similarity_change(*made(50)).min() >= 0


class LargestTensor(TorchDispatchMode):
    """Notes the largest number of values of any tensor made."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.size = max(self.size, result.numel())
        return result


def test_no_table_of_all_pairs_is_made() -> None:
    final, features = made(600)
    with LargestTensor() as whole:
        similarity_change(final, features, block_size=600)
    assert whole.size == 600 * 600
    with LargestTensor() as blocks:
        similarity_change(final, features, block_size=16)
    assert blocks.size == 16 * 600


def test_progress_counts_pairs() -> None:
    calls: list[tuple[int, int]] = []
    similarity_change(*made(10), block_size=4, progress=lambda *call: calls.append(call))
    assert calls == [(64, 100), (96, 100), (100, 100)]


def test_inputs_are_left_as_they_are() -> None:
    final, features = made(8)
    before = final.clone(), features.clone()
    assert not similarity_change(final.requires_grad_(), features).requires_grad
    assert torch.equal(final, before[0])
    assert torch.equal(features, before[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"final": torch.ones(3, 2)}, r"\(3, 2\) and \(4, 9\)"),
        ({"final": torch.ones(4)}, r"\(4,\)"),
        ({"features": torch.zeros(4, 9)}, r"at least two items .*got 0 of 4"),
        ({"present": torch.tensor([True, False, False, False])}, r"at least two .*got 1 of 4"),
        ({"present": torch.ones(4)}, "torch.float32"),
        ({"present": torch.ones(3, dtype=torch.bool)}, r"\(3,\)"),
        ({"final": torch.tensor([[1.0], [math.nan], [1.0], [math.inf]])}, "2 rows, the first is 1"),
        ({"features": torch.full((4, 2), -math.inf)}, "features must be finite"),
    ],
)
def test_bad_input(change: dict[str, Any], message: str) -> None:
    final, features = made(4)
    with pytest.raises(DataError, match=message) as caught:
        similarity_change(**{"final": final, "features": features, **change})
    assert "\n" not in str(caught.value)


def test_bad_block_size() -> None:
    with pytest.raises(ConfigError, match=r"block_size must be at least 1 \(got 0\)"):
        similarity_change(*made(4), block_size=0)


def test_high_degree_items_are_the_top_fifth_ties_by_index() -> None:
    degree = torch.tensor([5, 7, 7, 0, 7, 1, 2, 3, 4, 6])
    assert high_degree_items(degree).nonzero().squeeze(1).tolist() == [1, 2]
    assert high_degree_items(degree, quantile=0.6).nonzero().squeeze(1).tolist() == [1, 2, 4, 9]
    assert high_degree_items(degree, quantile=0).all()
    assert high_degree_items(degree, quantile=0.99).sum() == 1  # never none


@pytest.mark.parametrize("quantile", [-0.1, 1.0, math.nan])
def test_bad_share(quantile: float) -> None:
    with pytest.raises(ConfigError, match="at least 0 and less than 1"):
        high_degree_items(torch.ones(4, dtype=torch.long), quantile=quantile)

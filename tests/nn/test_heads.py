"""Attention over the parts of an item, for pairs and for whole catalogues, and pooling of them."""

import numpy as np
import pytest
import torch

from mmgraph.nn import ModalityAttention, ModalityPooling
from mmgraph.nn import heads as module
from mmgraph.testing import oracles

KINDS = ("scaled_dot", "dot", "bilinear", "additive")
FORMS = [*((kind, False) for kind in KINDS), ("scaled_dot", True), ("dot", True)]
NUM_USERS, NUM_ITEMS, DIM = 7, 11, 4


def draw(num_parts: int = 3):
    """Draw users, parts of items and what the items have of them; the first part is always there."""
    generator = torch.Generator().manual_seed(num_parts)

    def table(rows):
        return 2 * torch.randn(rows, DIM, dtype=torch.float64, generator=generator)

    parts = [table(NUM_ITEMS) for _ in range(num_parts)]
    present = [torch.rand(NUM_ITEMS, generator=generator) < 0.6 for _ in parts]
    present[0] = torch.ones(NUM_ITEMS, dtype=torch.bool)
    # What is not there may be anything that is a number.
    parts = [x.where(has[:, None], 1e3) for x, has in zip(parts, present, strict=True)]
    return table(NUM_USERS), parts, present


def trained(kind, num_parts=3, *, hard=False):
    generator = torch.Generator().manual_seed(5)
    attention = ModalityAttention(DIM, num_parts, kind, hard=hard).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2
            )
    return attention


def by_hand(attention, user, parts, present):
    """Return scores (users, items) and weights (users, items, parts), pair by pair."""
    p = {name: value.detach().numpy() for name, value in attention.named_parameters()}
    scores = np.zeros((NUM_USERS, NUM_ITEMS))
    weights = np.zeros((NUM_USERS, NUM_ITEMS, len(parts)))
    for u in range(NUM_USERS):
        for i in range(NUM_ITEMS):
            rows, has = [x[i] for x in parts], [bool(mask[i]) for mask in present]
            logits = [
                oracles.mario_logit(
                    user[u],
                    row,
                    kind=attention.kind,
                    bilinear=p.get("bilinear", ()),
                    query=(p.get("query.weight", ()), p.get("query.bias", ())),
                    key=p.get(f"keys.{m}.weight", ()),
                    vector=p.get("vector", ()),
                )
                for m, row in enumerate(rows)
            ]
            weights[u, i] = oracles.mario_weights(logits, has, hard=attention.hard)
            scores[u, i] = oracles.mario_score(user[u], rows, weights[u, i])
    return scores, weights


def all_pairs():
    return [x.flatten() for x in torch.meshgrid(torch.arange(7), torch.arange(11), indexing="ij")]


@pytest.mark.parametrize("num_parts", [1, 2, 3, 5])
@pytest.mark.parametrize(("kind", "hard"), FORMS)
@torch.no_grad()
def test_pairs_equal_the_equation_pair_by_pair(kind, hard, num_parts) -> None:
    attention, (user, parts, present) = trained(kind, num_parts, hard=hard), draw(num_parts)
    scores, weights = by_hand(attention, user, parts, present)
    users, items = all_pairs()
    given = user[users], [x[items] for x in parts], [has[items] for has in present]
    found = attention.weights(*given)
    np.testing.assert_allclose(found.view(weights.shape), weights, rtol=1e-12, atol=1e-14)
    vectors = attention(*given)
    products = (vectors * user[users]).sum(dim=1)
    np.testing.assert_allclose(products.view(scores.shape), scores, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("block", [1, 40, 2**20])
@pytest.mark.parametrize(("kind", "hard"), FORMS)
@torch.no_grad()
def test_blocks_equal_the_equation_pair_by_pair(kind, hard, block, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    attention, (user, parts, present) = trained(kind, hard=hard), draw()
    scores, _ = by_hand(attention, user, parts, present)
    found = attention.scores(user, torch.cat(parts, dim=1), present)
    np.testing.assert_allclose(found, scores, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_table_grows_with_users_times_items(kind) -> None:
    attention, largest = ModalityAttention(8, 2, kind), 0

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and func is not torch.ops.aten.new_empty.default:
                storage = result.untyped_storage()
                if storage.nbytes() != 600 * 9000 * 4:  # the result
                    largest = max(largest, storage.nbytes())
            return result

    user, item, has = torch.randn(600, 8), torch.randn(9000, 8), torch.ones(9000, dtype=torch.bool)
    with torch.no_grad(), Largest():
        attention.scores(user, torch.cat([item, item + 1], dim=1), [has, has])
    assert module._BLOCK < largest <= 2 * 4 * module._BLOCK  # two parts of a block, in float32


@pytest.mark.parametrize("kind", KINDS)
def test_equal_parts_are_what_comes_out(kind) -> None:
    user, (part, *_), present = draw()
    vectors = trained(kind)(user, [part[:7]] * 3, [has[:7] for has in present])
    torch.testing.assert_close(vectors, part[:7], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("kind", "hard"), FORMS)
@torch.no_grad()
def test_a_single_part_is_left_as_it_is(kind, hard) -> None:
    user, parts, present = draw()
    alone = [present[0], *(torch.zeros_like(has) for has in present[1:])]
    found = trained(kind, hard=hard).scores(user, torch.cat(parts, dim=1), alone)
    assert torch.equal(found, user @ parts[0].T)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_finite_differences(kind) -> None:
    attention, (user, parts, present) = trained(kind), draw()
    user, masks = user.requires_grad_(), [has[:7] for has in present]
    parts = [x[:7].clone().requires_grad_() for x in parts]

    def vectors(asking, *items):
        return attention(asking, items, masks)

    assert torch.autograd.gradcheck(vectors, (user, *parts))


def test_a_missing_part_gets_no_gradient() -> None:
    user, parts, present = draw()
    part = parts[1][:7].requires_grad_()
    masks = [has[:7] for has in present]
    trained("bilinear")(user, [parts[0][:7], part, parts[2][:7]], masks).sum().backward()
    assert part.grad[~masks[1]].abs().max() == 0
    assert part.grad[masks[1]].abs().min() > 0


@torch.no_grad()
def test_mean_vectors_are_over_the_users_of_an_item() -> None:
    attention, (user, parts, present) = trained("dot"), draw()
    pairs = torch.tensor([[0, 3, 3, 6], [2, 2, 5, 5]])
    _, weights = by_hand(attention, user, parts, present)
    mean = torch.stack(present, dim=1).double()
    mean /= mean.sum(dim=1, keepdim=True)
    mean[2] = torch.from_numpy(weights[[0, 3], 2].mean(axis=0))
    mean[5] = torch.from_numpy(weights[[3, 6], 5].mean(axis=0))
    expected = torch.einsum("im,mid->id", mean, torch.stack(parts))
    found = attention.mean_vectors(pairs, user, torch.cat(parts, dim=1), present)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_mean_vectors_do_not_depend_on_the_block(monkeypatch) -> None:
    attention, (user, parts, present) = trained("additive"), draw()
    pairs, given = torch.stack(all_pairs()), (user, torch.cat(parts, dim=1), present)
    expected = attention.mean_vectors(pairs, *given)
    monkeypatch.setattr(module, "_BLOCK", 20)
    torch.testing.assert_close(attention.mean_vectors(pairs, *given), expected)


def test_bilinear_starts_as_the_scaled_inner_product() -> None:
    user, parts, present = draw()
    start, stored = ModalityAttention(DIM, 3, "bilinear").double(), torch.cat(parts, dim=1)
    expected = ModalityAttention(DIM, 3).scores(user, stored, present)
    found = start.scores(user, stored, present).detach()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["mean", "max", "fc"])
@torch.no_grad()
def test_pooling_equals_the_definition_item_by_item(kind) -> None:
    _, parts, present = draw()
    pooling = ModalityPooling(DIM, 3, kind).double()
    linear = pooling.linear.weight if kind == "fc" else ()
    expected = [
        oracles.mario_pooled(
            [x[i] for x in parts], [bool(has[i]) for has in present], kind=kind, linear=linear
        )
        for i in range(NUM_ITEMS)
    ]
    found = pooling.stored(parts, present)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert torch.equal(pooling(torch.empty(0), parts, present), found)


@pytest.mark.parametrize("k", [1, 4, NUM_ITEMS])
@pytest.mark.parametrize(("kind", "hard"), FORMS)
@torch.no_grad()
def test_lists_by_the_bound_equal_those_of_the_full_ranking(kind, hard, k) -> None:
    attention, (user, parts, present) = trained(kind, hard=hard), draw()
    twins = [torch.cat([x, x]) for x in (*parts, *present)]  # every score is there twice
    parts, present = twins[:3], twins[3:]
    stored = attention.stored(parts, present)
    allowed = torch.rand(NUM_USERS, 2 * NUM_ITEMS, generator=torch.Generator().manual_seed(2)) < 0.8
    scores = attention.scores(user, stored, present)
    for mask in (None, allowed):
        full = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        expected = full.sort(dim=1, descending=True, stable=True)
        found, items = attention.top_k(user, stored, present, k=k, allowed=mask)
        torch.testing.assert_close(found, expected.values[:, :k], rtol=1e-12, atol=1e-12)
        assert torch.equal(items, expected.indices[:, :k])


@torch.no_grad()
def test_lists_longer_than_what_is_allowed_end_with_nothing() -> None:
    attention, (user, parts, present) = trained("scaled_dot"), draw()
    allowed = torch.zeros(NUM_USERS, NUM_ITEMS, dtype=torch.bool)
    allowed[:, 3] = True
    stored = attention.stored(parts, present)
    found, items = attention.top_k(user, stored, present, k=2, allowed=allowed)
    assert torch.isneginf(found[:, 1]).all()
    assert found[:, 0].isfinite().all()
    assert items[:, 0].tolist() == [3] * NUM_USERS


@torch.no_grad()
def test_items_below_the_bound_are_not_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    attention, (user, parts, present) = trained("scaled_dot"), draw()
    weighed, original = [], ModalityAttention._weights

    def counting(self, logits, present):
        weighed.append(logits[0].numel())
        return original(self, logits, present)

    monkeypatch.setattr(ModalityAttention, "_weights", counting)
    same = [parts[0]] * 3  # all parts say the same: nothing but the best can be among the best
    attention.top_k(user, attention.stored(same, present), present, k=2)
    assert sum(weighed) == 2 * NUM_USERS

import numpy as np
import pytest
import torch

from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.batch import Batch
from mmgraph.models.lightgcn import LightGCN, LightGCNConfig
from mmgraph.testing import RecommenderContract, checkerboard_dataset, checkerboard_graph, oracles
from mmgraph.testing.contract import losses


class TestLightGCN(RecommenderContract):
    model, options = LightGCN, {"embedding_dim": 8, "num_layers": 2}


def make(graph=None, **options):
    torch.manual_seed(0)
    graph = checkerboard_graph() if graph is None else graph
    return LightGCN(graph, LightGCNConfig(**{"embedding_dim": 4, **options})).double()


@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_encode_equals_the_dense_equations(num_layers, irregular, irregular_pairs):
    model = make(build_graph(irregular, GraphConfig(edges=())), num_layers=num_layers)
    tables = (model.user_embedding.detach(), model.item_embedding.detach())
    expected = oracles.lightgcn(*tables, irregular_pairs, num_layers=num_layers)
    for found, dense in zip(model.encode(), expected, strict=True):
        # Edge weights are stored in float32, hence the tolerance.
        np.testing.assert_allclose(found.detach(), dense, rtol=1e-5, atol=1e-7)


def test_without_layers_it_is_matrix_factorisation_bit_for_bit():
    model = make(num_layers=0)
    users = torch.arange(12)
    assert torch.equal(model.score(users), model.user_embedding @ model.item_embedding.T)


def test_encode_is_linear():
    model = make(num_layers=3)
    once = torch.cat(model.encode())
    with torch.no_grad():
        model.user_embedding *= 2.5
        model.item_embedding *= 2.5
    torch.testing.assert_close(torch.cat(model.encode()), 2.5 * once, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("num_layers", [1, 4])
def test_root_degrees_are_a_fixed_point(num_layers):
    data = checkerboard_dataset()
    graph = build_graph(data, GraphConfig(edges=()))
    model = make(graph, num_layers=num_layers)
    user = np.bincount(data.train.user, minlength=12) ** 0.5
    item = np.bincount(data.train.item, minlength=12) ** 0.5
    with torch.no_grad():
        model.user_embedding.copy_(torch.from_numpy(user)[:, None].expand(-1, 4))
        model.item_embedding.copy_(torch.from_numpy(item)[:, None].expand(-1, 4))
    ego = torch.cat([model.user_embedding, model.item_embedding])
    torch.testing.assert_close(torch.cat(model.encode()), ego.detach(), rtol=1e-6, atol=0)


def test_an_isolated_item_gets_its_own_row_over_the_depth():
    data = checkerboard_dataset()
    keep = data.train.item != 5
    train = type(data.train)(data.train.user[keep], data.train.item[keep])
    graph = build_graph(type(data)(**{**vars(data), "train": train}), GraphConfig(edges=()))
    model = make(graph, num_layers=3)
    assert torch.equal(model.encode().item[5], model.item_embedding[5] / 4)


def test_the_penalty_reaches_only_the_batch_and_bpr_reaches_further():
    model = make(num_layers=2)
    batch = Batch(torch.tensor([0]), torch.tensor([2]), torch.tensor([1]))
    (penalty,) = torch.autograd.grad(model.losses(batch)["reg"], model.user_embedding)
    assert penalty[0].any()
    assert not penalty[1:].any()
    (ranking,) = torch.autograd.grad(model.losses(batch)["bpr"], model.user_embedding)
    assert ranking[2].any()  # user 2 shares items with user 0


def test_two_adam_steps_equal_a_dense_computation(irregular, irregular_pairs):
    """The same two steps with dense matrices, autograd-free gradients and Adam written out."""
    graph = build_graph(irregular, GraphConfig(edges=()))
    model = make(graph, num_layers=1, reg_weight=0.01)
    ego = torch.cat([model.user_embedding, model.item_embedding]).detach().numpy().copy()
    smooth = (np.eye(24) + oracles.sym_adjacency(irregular_pairs, num_users=12, num_items=12)) / 2
    batch = Batch(torch.tensor([0, 4]), torch.tensor([2, 8]), torch.tensor([1, 3]))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    first, second = np.zeros_like(ego), np.zeros_like(ego)
    for step in (1, 2):
        optimizer.zero_grad()
        losses(model, batch).backward()
        optimizer.step()
        final, gradient, penalty = smooth @ ego, np.zeros_like(ego), np.zeros_like(ego)
        for user, positive, negative in zip(*(x.tolist() for x in batch[:3]), strict=True):
            u, i, j = user, 12 + positive, 12 + negative
            difference = final[u] @ (final[i] - final[j])
            g = -1 / (1 + np.exp(difference)) / 2
            gradient[u] += g * (final[i] - final[j])
            gradient[i] += g * final[u]
            gradient[j] -= g * final[u]
            for row in (u, i, j):
                penalty[row] += 0.01 * ego[row] / 2
        total = smooth.T @ gradient + penalty
        first, second = 0.9 * first + 0.1 * total, 0.999 * second + 0.001 * total**2
        step_size = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        ego -= 0.1 * step_size
    after = torch.cat([model.user_embedding, model.item_embedding]).detach().numpy()
    np.testing.assert_allclose(after, ego, rtol=1e-4, atol=1e-5)

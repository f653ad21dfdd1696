"""The sum that layers begin with: both paths, and the order of edges."""

import torch

from mmgraph.nn.conv.weighted_sum import WeightedSum
from mmgraph.testing.kernels import adjacency_of, sample_matrices


def test_both_paths_equal_the_dense_product() -> None:
    dense = sample_matrices()["square"]
    adj, layer = adjacency_of(dense), WeightedSum()
    x = torch.randn(6, 4, dtype=torch.float64)
    fused = layer.neighbour_sum(x, adj)
    messages = layer.neighbour_sum(x, adj.edge_index(), adj.value)
    torch.testing.assert_close(fused, dense @ x, rtol=0, atol=1e-10)
    torch.testing.assert_close(messages, fused, rtol=0, atol=1e-10)


def test_messages_flow_from_source_to_target_with_given_weights() -> None:
    x = torch.tensor([[1.0], [10.0], [100.0]])
    edges, weight = torch.tensor([[2, 0, 1], [0, 1, 0]]), torch.tensor([2.0, 3.0, 5.0])
    assert WeightedSum().neighbour_sum(x, edges, weight).tolist() == [[250.0], [3.0], [0.0]]

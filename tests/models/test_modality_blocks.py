import torch

from mmgraph.graph.schema import item_features
from mmgraph.models.modality_blocks import BlockConfig, BlockRecommender
from mmgraph.nn import UserItemPropagation, normalize_rows
from mmgraph.testing import checkerboard_graph


def make(**options):
    torch.manual_seed(0)
    graph = checkerboard_graph()
    config = BlockConfig(name="blocks", embedding_dim=4, hidden_dim=8, **options)
    return BlockRecommender(graph, config, item_features(graph), extra_blocks=1).double()


def test_users_are_weighed_and_items_receive_from_like_items():
    model, rows = make(num_item_layers=2), torch.randn(12, 4).double()
    weights = torch.rand(12, 3).double()
    seen = []
    user, item = model.smoothed(lambda x: seen.append(x) or weights, rows)
    plain_user, plain_item = model.gcn(rows)
    assert torch.equal(seen[0], plain_user)
    near = model.item_graph.to_dense().double()
    torch.testing.assert_close(item, plain_item + near @ near @ plain_item)
    for block in range(3):
        columns = slice(4 * block, 4 * block + 4)
        torch.testing.assert_close(user[:, columns], plain_user[:, columns] * weights[:, [block]])


def test_given_rows_are_the_last_block():
    model, rows = make(num_item_layers=0), torch.randn(12, 4).double()
    _, item = model.smoothed(lambda x: torch.ones(12, 3).double(), rows)
    start = normalize_rows(model.gcn.user_preference[:, 8:]), normalize_rows(rows)
    smooth = UserItemPropagation(model.gcn.propagation.adjacency, num_layers=2, combine="sum")
    torch.testing.assert_close(item[:, 8:], 2 * smooth(*start)[1])

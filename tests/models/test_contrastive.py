"""What the models with a contrastive term share."""

import pytest
import torch

from mmgraph.models.base import Batch, Rows, rows_of
from mmgraph.models.contrastive import RowsAndTerms, renumbered
from mmgraph.models.margo import MARGO, MARGOConfig
from mmgraph.models.mario import MARIO, MARIOConfig
from mmgraph.models.mgcn import MGCN, MGCNConfig
from mmgraph.testing.contract import board_batch

MODELS = [{"name": "micro", "k": 3}, {"name": "mgcn"}, {"name": "lgmrec"}, {"name": "slmrec"}]


def test_rows_with_terms_are_rows():
    rows = Rows(*torch.arange(6.0).view(3, 1, 2))
    both = RowsAndTerms.of(rows, {"contrast": torch.tensor(2.0)})
    assert isinstance(both, Rows)
    assert all(torch.equal(a, b) for a, b in zip(both, rows, strict=True))
    assert torch.equal(both.scores()[0], rows.scores()[0])


@pytest.mark.parametrize("num_negatives", [1, 3])
def test_a_renumbered_batch_names_the_same_users_and_items(num_negatives, board):
    model = MGCN(board("text"), MGCNConfig(embedding_dim=4))
    shape = (5,) if num_negatives == 1 else (5, num_negatives)
    draws = torch.Generator().manual_seed(1)
    batch = Batch(
        torch.tensor([3, 1, 3, 3, 0]),
        torch.tensor([4, 4, 9, 2, 2]),
        torch.randint(12, shape, generator=draws),
    )
    users, items, places = renumbered(batch)
    assert users.tolist() == [0, 1, 3]
    assert items.tolist() == sorted({4, 9, 2, *batch.negative.flatten().tolist()})
    assert torch.equal(users[places.user], batch.user)
    assert torch.equal(items[places.positive], batch.positive)
    assert torch.equal(items[places.negative], batch.negative)
    expected = rows_of(model.encode(), batch)
    for found, wanted in zip(model.batch_rows(batch), expected, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("inside", MODELS, ids=lambda table: table["name"])
def test_models_around_them_keep_the_term(inside, board):
    graph, weight = board("text", "image"), 0.25
    inside = {**inside, "embedding_dim": 4, "contrast_weight": weight}
    late = MARGO(graph, MARGOConfig(backbone=inside)).double().train()
    joint = MARIO(graph, MARIOConfig(backbone=inside)).double().train()
    for model in (late, joint):
        model.on_epoch(1)
        assert model.stages[0].loss_weights["contrast"] == weight
        terms = model.losses(board_batch())
        # Of one modality alone LGMRec has nothing to contrast.
        assert ("contrast" in terms) == (model is joint or inside["name"] != "lgmrec")
        assert all(term.isfinite() for term in terms.values())

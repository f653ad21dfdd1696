"""What the models with a contrastive term share."""

import pytest
import torch

from mmgraph.models.batch import Rows
from mmgraph.models.contrastive import Contrastive, ContrastiveConfig
from mmgraph.models.terms import RowsAndTerms
from mmgraph.testing import checkerboard_graph
from mmgraph.testing.contract import board_batch


@pytest.mark.parametrize("reg_weight", [0.0, 0.5])
def test_the_term_that_comes_with_the_rows_is_a_penalty_beside_that_on_the_rows(reg_weight):
    config = ContrastiveConfig(
        name="x", embedding_dim=2, reg_weight=reg_weight, contrast_weight=0.2, reg_rows="final"
    )
    model = Contrastive(checkerboard_graph(), config, init="normal0.1")
    assert model.stages[0].loss_weights == {"reg": reg_weight, "contrast": 0.2}
    rows = RowsAndTerms.of(Rows(*torch.ones(3, 1, 2)), {"contrast": torch.tensor(3.0)})
    terms = {name: value.item() for name, value in model.penalties(board_batch(), rows).items()}
    assert terms == ({"contrast": 3.0} if not reg_weight else {"contrast": 3.0, "reg": 3.0})

"""Rows that carry terms of the loss, and models around other models, which must not lose any."""

import pytest
import torch
from pydantic import ValidationError

from mmgraph.models import MODELS, get_model
from mmgraph.models.base import ModelConfig
from mmgraph.models.batch import Rows
from mmgraph.models.margo import MARGO, MARGOConfig
from mmgraph.models.mario import MARIO, MARIOConfig
from mmgraph.models.terms import OwnCriterion, RowsAndTerms, terms_of
from mmgraph.testing import checkerboard_graph
from mmgraph.testing.contract import board_batch

# The term that another criterion takes the place of.
OWN_CRITERION = {"bm3": "rec", "cm3": "align", "slmrec": "main"}


def pairs():
    """Return every wrapper with every trained model that it takes."""
    for around, config in ((MARIO, MARIOConfig), (MARGO, MARGOConfig)):
        for name in sorted(MODELS):
            try:
                config(backbone=name)
            except ValidationError:
                continue
            if name != "cb":
                yield pytest.param(around, config, name, id=f"{around.__name__}-{name}")


def test_rows_with_terms_are_rows():
    rows = Rows(*torch.arange(6.0).view(3, 1, 2))
    both = RowsAndTerms.of(rows, {"contrast": torch.tensor(2.0)})
    assert isinstance(both, Rows)
    assert all(torch.equal(a, b) for a, b in zip(both, rows, strict=True))
    assert torch.equal(both.scores()[0], rows.scores()[0])


def test_rows_that_carry_nothing_are_refused():
    with pytest.raises(TypeError, match=r"that batch_rows.. returned .got Rows.; pass them on"):
        terms_of(Rows(*torch.zeros(3, 1, 2)))


def test_the_wrappers_take_most_models():
    assert len(list(pairs())) > 30


@pytest.mark.parametrize(("around", "config", "name"), [*pairs()])
def test_a_model_around_another_keeps_every_term_that_has_a_weight(around, config, name, board):
    """What the backbone's own losses hold besides its criterion, the wrapper's hold, too."""
    options = {"embedding_dim": 4, "reg_weight": 0.1, "contrast_weight": 0.25, "k": 3}
    known = get_model(name).Config.model_fields
    inside = {"name": name, **{key: value for key, value in options.items() if key in known}}
    graph = board("text", "image", co_user_top_k=3, co_normalize="none", co_item_top_k=3)
    model = around(graph, config(backbone=inside)).double().train()
    alone = get_model(name)(graph, model.config.backbone).double().train()
    for each in (model, alone):
        each.on_epoch(1)
    weights, terms = model.stages[0].loss_weights, model.losses(board_batch())
    wanted = set(alone.losses(board_batch())) - {"bpr", OWN_CRITERION.get(name)}
    if name == "lgmrec" and around is MARGO:
        wanted -= {"contrast"}  # a copy for each modality has nothing to contrast it with
    assert wanted <= set(terms)
    assert all(weights[term] == alone.stages[0].loss_weights[term] for term in wanted)
    assert all(term.isfinite() for term in terms.values())


def test_a_model_with_a_criterion_of_its_own_must_say_what_it_is_made_of():
    bare = OwnCriterion(checkerboard_graph(), ModelConfig(name="bare"))
    with pytest.raises(TypeError, match=r"OwnCriterion must define _state\(\)"):
        bare.encode()
    for missing, ask in (
        ("_vectors", lambda: bare._vectors(None)),
        ("_terms", lambda: bare._terms(board_batch(), None)),
    ):
        with pytest.raises(TypeError, match=rf"must define {missing}\(\)"):
            ask()

"""The contract must reject models that are wrong, not only accept ours."""

import pytest
import torch

from mmgraph.models.bpr_mf import BPRMF
from mmgraph.models.cb import CB
from mmgraph.models.freedom import FREEDOM
from mmgraph.testing import RecommenderContract, ScoringContract


class Popularity(BPRMF):
    """Scores without the user."""

    def encode(self):
        return super().encode()._replace(user=torch.ones_like(self.user_embedding))


class Stale(FREEDOM):
    """Scores with what it computed first."""

    kept = None

    def encode(self):
        self.kept = super().encode() if self.kept is None or self.training else self.kept
        return self.kept


class Noisy(BPRMF):
    """Adds noise also in eval mode."""

    def encode(self):
        tables = super().encode()
        return tables._replace(item=tables.item + 0.01 * torch.randn_like(tables.item))


class Idle(BPRMF):
    """Has a parameter that nothing uses."""

    def __init__(self, graph, config):
        super().__init__(graph, config)
        self.unused = torch.nn.Parameter(torch.ones(1))


class Halved(BPRMF):
    """Cuts half of the gradient off."""

    def losses(self, batch):
        return {name: (term + term.detach()) / 2 for name, term in super().losses(batch).items()}


class Forgotten(BPRMF):
    """Has tables and no stage to train them in."""

    stages = ()


class Numbered(CB):
    """Is not trained, and depends on how items are numbered."""

    def encode(self):
        vectors = super().encode()
        place = torch.arange(self.num_items, dtype=vectors.item.dtype)[:, None]
        return vectors._replace(item=vectors.item + place)


class Positional(BPRMF):
    """Depends on how items are numbered."""

    def encode(self):
        tables = super().encode()
        place = torch.arange(self.num_items, dtype=tables.item.dtype)[:, None]
        return tables._replace(item=tables.item + place)


def contract(kind):
    trained = {"model": kind, "options": {"embedding_dim": 8}}
    if issubclass(kind, CB):
        return type("Contract", (ScoringContract,), {"model": kind})()
    return type("Contract", (RecommenderContract,), trained)()


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (Popularity, "test_solves_the_checkerboard"),
        (Stale, "test_loaded_weights_give_equal_scores"),
        (Noisy, "test_encoding_is_pure"),
        (Idle, "test_every_parameter_learns"),
        (Halved, "test_gradients_equal_finite_differences"),
        (Positional, "test_relabelling_items_relabels_scores"),
        (Numbered, "test_relabelling_items_relabels_scores"),
        (Forgotten, "test_what_has_parameters_is_trained_and_nothing_else"),
    ],
)
def test_a_wrong_model_fails_the_check_that_is_meant_for_it(kind, check):
    with pytest.raises(AssertionError):
        getattr(contract(kind), check)()

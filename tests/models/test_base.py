from typing import ClassVar

import pytest
import torch

from mmgraph.errors import ConfigError
from mmgraph.models import MODELS, get_model
from mmgraph.models.base import (
    Batch,
    EmbeddingConfig,
    Embeddings,
    IdRecommender,
    ModelConfig,
    Recommender,
    Stage,
    distinct_items,
    rows_of,
)
from mmgraph.testing import checkerboard_graph


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_name_leads_to_a_class_whose_config_bears_it(name):
    model = get_model(name)
    assert issubclass(model, Recommender)
    assert model.Config().name == name


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match=r"model.name must be a known model \(got 'light_gcn'\)"):
        get_model("light_gcn")


def test_a_model_must_say_how_it_encodes():
    bare = Recommender(checkerboard_graph(), ModelConfig(name="bare"))
    with pytest.raises(TypeError, match=r"must define encode\(\)"):
        bare.encode()


def test_a_model_without_more_has_nothing_to_say_of_modalities():
    class Fixed(Recommender):
        def encode(self):
            return Embeddings(torch.ones(12, 3), torch.arange(36.0).view(12, 3))

    class Late(Fixed):
        modality_widths: ClassVar = {"text": 1, "image": 2}

    plain, late = (kind(checkerboard_graph(), ModelConfig(name="x")) for kind in (Fixed, Late))
    assert plain.stages == (Stage(loss_weights={}),)
    assert plain.modality_embeddings() == plain.modality_vectors() == plain.modality_weights() == {}
    assert plain.modality_influence(torch.tensor([0]), torch.tensor([0])) == {}
    assert torch.equal(plain.item_vectors(), plain.encode().item)
    assert late.modality_embeddings()["image"].user.shape == (12, 2)
    assert torch.equal(late.modality_vectors()["image"], plain.item_vectors()[:, 1:])
    parts = [part.user @ part.item.T for part in late.modality_embeddings().values()]
    torch.testing.assert_close(sum(parts), late.score(torch.arange(12)))


def test_losses_by_hand():
    """One triple: scores 1 and 0 give ln(1 + e^-1); rows of squared length 1, 1, 4 give (1 + 1 + 4) / 2."""

    class Shifted(IdRecommender):
        def encode(self):
            return Embeddings(self.ego.user + 1, self.ego.item + 1)

    batch = Batch(torch.tensor([0]), torch.tensor([0]), torch.tensor([1]))
    penalty = {}
    for rows, shift in (("final", -1.0), ("ego", 0.0)):
        config = EmbeddingConfig(name="x", embedding_dim=2, reg_rows=rows)
        model = Shifted(checkerboard_graph(), config, init="normal0.1")
        with torch.no_grad():
            model.user_embedding[0] = torch.tensor([1.0, 0.0]) + shift
            model.item_embedding[:2] = torch.tensor([[1.0, 0.0], [0.0, 2.0]]) + shift
        terms = model.losses(batch)
        penalty[rows] = terms["reg"].item()
        if rows == "final":
            assert terms["bpr"].item() == pytest.approx(0.3132617)
    assert penalty == {"final": 3.0, "ego": 3.0}


def test_the_criterion_is_the_term_bpr():
    class Halved(IdRecommender):
        def encode(self):
            return self.ego

        def criterion(self, positive, negative):
            return super().criterion(positive, negative) / 2

    config = EmbeddingConfig(name="x", embedding_dim=2, reg_weight=0.0)
    model = Halved(checkerboard_graph(), config, init="normal0.1")
    batch = Batch(*torch.tensor([[0, 1], [3, 4], [5, 6]]))
    terms = model.losses(batch)
    assert set(terms) == {"bpr"}
    expected = IdRecommender.criterion(model, *model.batch_rows(batch).scores()) / 2
    assert torch.equal(terms["bpr"], expected)


def test_a_penalty_without_weight_is_left_out():
    config = EmbeddingConfig(name="x", embedding_dim=2, reg_weight=0.0)
    model = IdRecommender(checkerboard_graph(), config, init="normal0.1")
    assert model.penalties(Batch(*torch.tensor([[0], [0], [1]])), model.ego_rows) == {}


def test_id_rows_are_drawn_users_first():
    torch.manual_seed(3)
    model = IdRecommender(
        checkerboard_graph(), EmbeddingConfig(name="x", embedding_dim=4), init="normal0.1"
    )
    torch.manual_seed(3)
    for table in (model.ego.user, model.ego.item):
        assert torch.equal(table, torch.empty(12, 4).normal_(std=0.1))
    assert model.ego.user is model.user_embedding
    assert model.ego.item is model.item_embedding


def test_distinct_items_lead_back_to_the_batch():
    batch = Batch(torch.tensor([5, 5, 1]), torch.tensor([8, 2, 8]), torch.tensor([2, 0, 4]))
    items, place = distinct_items(batch)
    assert items.tolist() == [0, 2, 4, 8]
    assert items[place].tolist() == [batch.positive.tolist(), batch.negative.tolist()]


def test_several_negatives_are_pairs_of_their_own():
    """A model that wants three of them needs nothing else: rows, scores and losses follow."""

    class Thrice(IdRecommender):
        num_negatives = 3

        def encode(self):
            return self.ego

    config = EmbeddingConfig(name="x", embedding_dim=2, reg_kind="mean_sq")
    model = Thrice(checkerboard_graph(), config, init="normal0.1")
    negative = torch.tensor([[5, 6, 5], [7, 5, 0]])
    batch = Batch(torch.tensor([0, 1]), torch.tensor([3, 4]), negative)
    rows = model.batch_rows(batch)
    assert rows.negative.shape == (2, 3, 2)
    terms, single = model.losses(batch), []
    for column in range(3):
        one = batch._replace(negative=negative[:, column])
        assert torch.equal(rows_of(model.ego, one).negative, rows.negative[:, column])
        torch.testing.assert_close(rows_of(model.ego, one).scores()[1], rows.scores()[1][:, column])
        single.append(model.losses(one))
    for name in ("bpr", "reg"):
        expected = sum(terms[name] for terms in single) / 3
        torch.testing.assert_close(terms[name], expected)
    items, place = distinct_items(batch)
    assert place.shape == (4, 2)
    assert torch.equal(items[place[0]], batch.positive)
    assert torch.equal(items[place[1:]], negative.T)

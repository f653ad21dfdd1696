from typing import ClassVar

import pytest
import torch

from mmgraph.config import Recipe
from mmgraph.errors import ConfigError
from mmgraph.evaluation import EvaluationConfig, Evaluator
from mmgraph.experiment import validate_with
from mmgraph.graph import build_graph
from mmgraph.models import MODELS, get_model
from mmgraph.models.base import EmbeddingConfig, IdRecommender, ModelConfig, Recommender, Stage
from mmgraph.models.batch import Batch, Embeddings, rows_of
from mmgraph.testing import checkerboard_dataset, checkerboard_graph


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


@pytest.mark.parametrize("name", ["lattice", "mm_gef"])
def test_all_blocks_of_users_are_ranked_from_one_encoding(name, monkeypatch):
    data, kind, calls = checkerboard_dataset(), get_model(name), []
    recipe = Recipe.build({"model": {"name": name, "embedding_dim": 4}, "graph": {"k": 3}})
    model, encode = kind(build_graph(data, recipe.graph), recipe.model), kind.encode
    monkeypatch.setattr(kind, "encode", lambda self: calls.append(self) or encode(self))
    validator = Evaluator.for_validation(
        (data.train.user, data.train.item),
        (data.test.user, data.test.item),
        num_users=12,
        num_items=12,
        config=EvaluationConfig(ks=(5,), block_size=5, select_by="recall@5"),
    )
    validate_with(validator, model)
    assert calls == [model]

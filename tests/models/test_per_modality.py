import numpy as np
import pytest
import torch

from mmgraph.errors import ConfigError
from mmgraph.graph.schema import check_graph, modalities_of
from mmgraph.models.batch import Rows
from mmgraph.models.cm3 import CM3, CM3Config
from mmgraph.models.dualgnn import DualGNN, DualGNNConfig
from mmgraph.models.freedom import FREEDOM, FREEDOMConfig
from mmgraph.models.lattice import LATTICE, LATTICEConfig
from mmgraph.models.mgcn import MGCN, MGCNConfig
from mmgraph.models.micro import MICRO, MICROConfig
from mmgraph.models.per_modality import JoinedRows, OnePerModality, with_one_modality
from mmgraph.models.vbpr import VBPR, VBPRConfig
from mmgraph.testing import RecommenderContract, checkerboard_graph
from mmgraph.testing.contract import board_batch

EVERYONE = torch.arange(12)
KINDS = [
    (VBPR, VBPRConfig(embedding_dim=4, content_dim=3, content_reg_weight=0.1)),
    (FREEDOM, FREEDOMConfig(embedding_dim=4, reg_weight=0.1)),
    (LATTICE, LATTICEConfig(embedding_dim=4, feature_dim=4, k=3)),
    (MICRO, MICROConfig(embedding_dim=4, feature_dim=4, k=3)),
    (MGCN, MGCNConfig(embedding_dim=4)),
]


class Copies(OnePerModality):
    """With the signature of other models, for the contract."""

    Config = VBPRConfig

    def __init__(self, graph, config):
        super().__init__(graph, config, VBPR)


class TestOnePerModality(RecommenderContract):
    model, options = Copies, {"embedding_dim": 8, "content_dim": 4}


def make(kind, config):
    torch.manual_seed(0)
    return OnePerModality(checkerboard_graph(), config, kind).double()


@pytest.mark.parametrize(("kind", "config"), KINDS)
def test_it_is_the_sum_of_models_with_one_modality_each(kind, config):
    both, batch = make(kind, config), board_batch()
    singles = []
    for copy, name in zip(both.copies, ("text", "image"), strict=True):
        graph = with_one_modality(checkerboard_graph(), name)
        singles.append(kind(graph, config).double())
        singles[-1].load_state_dict(copy.state_dict())
        if kind is FREEDOM:
            singles[-1].seed = copy.seed
    for model in (both, *singles):
        model.train()
        model.on_epoch(3)
    parts = [single.losses(batch) for single in singles]
    rows = both.batch_rows(batch)
    found = both.penalties(batch, rows)
    assert set(found) == set(parts[0]) - {"bpr"}
    for name, value in found.items():
        torch.testing.assert_close(value, sum(part[name] for part in parts))
    scores = [single.batch_rows(batch).scores() for single in singles]
    for side, value in enumerate(rows.scores()):
        torch.testing.assert_close(value, sum(score[side] for score in scores))
    expected = sum(single.eval().score(EVERYONE) for single in singles)
    torch.testing.assert_close(both.eval().score(EVERYONE), expected)
    assert both.stages == singles[0].stages


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (FREEDOM, FREEDOMConfig(embedding_dim=4, shares={"image": 0.0})),
        (CM3, CM3Config(embedding_dim=4, shares={"text": 0.3}, mix_order=("image", "text"))),
    ],
)
def test_what_names_modalities_is_given_to_the_copies_of_these(kind, config):
    text, image = make(kind, config).copies
    given = [copy.config.shares for copy in (text, image)]
    assert given == [{}, {}] if kind is FREEDOM else [{"text": 0.3}, {}]
    if kind is CM3:
        assert [copy.config.mix_order for copy in (text, image)] == [("text",), ("image",)]
    with pytest.raises(ConfigError, match=r"model.backbone.shares must .* \(got {'imgae': 0.1}\)"):
        make(kind, config.model_copy(update={"shares": {"imgae": 0.1}}))


def test_the_criterion_is_that_of_the_copies():
    released = DualGNNConfig(embedding_dim=4, hidden_dim=8, preset="as_released")
    zeros = torch.zeros(3)
    assert make(DualGNN, released).criterion(zeros, zeros).item() == pytest.approx(1)  # to base 2
    assert make(VBPR, KINDS[0][1]).criterion(zeros, zeros).item() == pytest.approx(np.log(2))


def test_penalties_need_the_rows_of_the_copies():
    with pytest.raises(TypeError, match="must be given the rows that batch_rows"):
        make(*KINDS[0]).penalties(board_batch(), Rows(*torch.zeros(3, 1, 2)))


def test_joined_rows_keep_those_of_each():
    parts = [Rows(*torch.randn(3, 2, width)) for width in (1, 4)]
    joined = JoinedRows.of(parts)
    assert joined.parts is parts
    for column, one, other in zip(joined, *parts, strict=True):
        assert torch.equal(column, torch.cat([one, other], dim=1))


def test_parts_are_the_copies():
    model = make(*KINDS[0]).eval()
    assert model.modality_widths == {"text": 8, "image": 8}
    for part, copy in zip(model.modality_embeddings().values(), model.copies, strict=True):
        assert torch.equal(part.user, copy.encode().user)
        assert torch.equal(part.item, copy.encode().item)


def test_a_graph_with_one_modality_is_a_graph_and_leaves_the_other_alone():
    graph = checkerboard_graph()
    part = with_one_modality(graph, "text")
    check_graph(part)
    assert modalities_of(part) == ("text",)
    assert ("item", "knn_text", "item") in part.edge_types
    assert ("item", "knn_image", "item") not in part.edge_types
    assert part["item"].x_text is graph["item"].x_text
    assert modalities_of(graph) == ("text", "image")
    assert ("item", "knn_image", "item") in graph.edge_types


def test_making_it_draws_only_the_weights():
    torch.manual_seed(0)
    for name in ("text", "image"):
        VBPR(with_one_modality(checkerboard_graph(), name), KINDS[0][1])
    expected = torch.get_rng_state()
    model = make(*KINDS[0])
    assert torch.equal(torch.get_rng_state(), expected)
    assert model.training
    assert all(module.training for module in model.modules())


def test_a_model_without_vectors_is_refused():
    class Pairwise(VBPR):
        def retrieval_embeddings(self):
            return None

    with pytest.raises(ConfigError, match=r"must score by inner products \(got 'vbpr'"):
        make(*(Pairwise, KINDS[0][1]))

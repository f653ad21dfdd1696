"""The plain LightGCN takes the same steps as the library's, given the same weights and negatives."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from benchmarks.rivals.coo_lightgcn import CooLightGCN
from benchmarks.training.phases import PHASES
from mmgraph.graph import build_graph
from mmgraph.graph.build import GraphConfig
from mmgraph.models.batch import Batch
from mmgraph.models.lightgcn import LightGCN, LightGCNConfig
from mmgraph.testing import checkerboard_dataset
from mmgraph.training import PairwiseSampler, TrainingConfig, fit

BOARD = checkerboard_dataset(12)


class OneBatchAnEpoch(PairwiseSampler):
    """Draws real batches once, then gives one of them in each epoch, so that every loss is reported."""

    def draw(self, count: int) -> list[Batch]:
        generator = torch.Generator().manual_seed(5)
        self.kept = [
            b for _ in range(count) for b in super(OneBatchAnEpoch, self).epoch(16, generator)
        ]
        self.kept = self.kept[:count]
        self.left = iter(self.kept)
        return self.kept

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        yield next(self.left)


def make_rival(model: LightGCN, *, reg_weight: float = 1e-4) -> CooLightGCN:
    return CooLightGCN(
        BOARD.train.user.tolist(),
        BOARD.train.item.tolist(),
        user_embedding=model.user_embedding,
        item_embedding=model.item_embedding,
        num_layers=2,
        reg_weight=reg_weight,
        learning_rate=0.01,
        batch_size=16,
    )


def make_model(*, reg_weight: float = 1e-4) -> LightGCN:
    torch.manual_seed(3)
    config = LightGCNConfig(embedding_dim=8, num_layers=2, reg_weight=reg_weight)
    return LightGCN(build_graph(BOARD, GraphConfig(edges=())), config)


@pytest.mark.parametrize("reg_weight", [1e-4, 0.5])
def test_losses_of_the_first_steps_are_equal(reg_weight: float) -> None:
    model = make_model(reg_weight=reg_weight)
    rival = make_rival(model, reg_weight=reg_weight)
    sampler = OneBatchAnEpoch(
        torch.from_numpy(BOARD.train.user), torch.from_numpy(BOARD.train.item), num_items=12
    )
    batches = sampler.draw(10)
    result = fit(
        model,
        sampler,
        config=TrainingConfig(max_epochs=10, learning_rate=0.01),
        seed=0,
        validate=None,
        select_by="recall@20",
    )
    ours = np.array([[e["losses"]["bpr"], e["losses"]["reg"]] for e in result.history])
    plain = np.array(rival.train([batch[:3] for batch in batches]))
    assert ours.shape == (10, 2)
    assert np.ptp(ours[:, 0]) > 1e-4  # it learns, so equal losses mean equal steps
    np.testing.assert_allclose(plain, ours, atol=1e-5, rtol=0)
    np.testing.assert_allclose(
        rival.user_embedding.detach().numpy(), model.user_embedding.detach().numpy(), atol=1e-5
    )


def test_sampling_visits_every_pair_once_with_a_true_negative() -> None:
    rival = make_rival(make_model())
    batches = rival.sample(random.Random(0))
    user, positive, negative = (torch.cat([batch[i] for batch in batches]) for i in range(3))
    pairs = set(zip(BOARD.train.user.tolist(), BOARD.train.item.tolist(), strict=True))
    drawn = list(zip(user.tolist(), positive.tolist(), strict=True))
    assert len(drawn) == len(pairs)
    assert set(drawn) == pairs
    assert not pairs & set(zip(user.tolist(), negative.tolist(), strict=True))
    assert [len(batch[0]) for batch in batches[:-1]] == [16] * (len(batches) - 1)


def test_an_epoch_tells_its_phases_and_learns() -> None:
    model = make_model()
    rival = make_rival(model)
    seconds, loss = rival.epoch(random.Random(0))
    assert set(seconds) == set(PHASES)
    assert min(seconds.values()) > 0
    assert 0.6 < loss < 0.8
    assert not torch.equal(rival.user_embedding, model.user_embedding)

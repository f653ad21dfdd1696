from statistics import median

import pytest
import torch
from torch.profiler import record_function

from benchmarks.training.kinds import KINDS, SAMPLER, kind_shares
from mmgraph.models.freedom import FREEDOM, FREEDOMConfig
from mmgraph.testing import checkerboard_graph
from mmgraph.testing.contract import board_batch, losses


def test_the_shares_of_a_step_have_all_kinds_and_add_up() -> None:
    model = FREEDOM(checkerboard_graph(), FREEDOMConfig(embedding_dim=4))
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        with record_function(SAMPLER):
            batch = board_batch()
        losses(model, batch).backward()
        optimizer.step()

    shares = kind_shares(model, step)
    assert tuple(shares) == KINDS
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in shares.values())


def test_what_is_made_of_features_is_known_with_its_gradients() -> None:
    """A wide encoder alone outweighs the sum that is taken of it."""
    from mmgraph.nn import ModalityEncoder, ModalityEncoders

    x, has = torch.randn(300, 400), torch.ones(300, dtype=torch.bool)
    encoders = ModalityEncoders({"text": (x, has)}, lambda width: ModalityEncoder(width, 300))
    model = FREEDOM(checkerboard_graph(), FREEDOMConfig(embedding_dim=4))
    model.content = encoders

    def step() -> None:
        encoders()["text"].sum().backward()

    # The profiler counts seconds that pass: one of five measurements may have been interrupted.
    assert median(kind_shares(model, step)["encoders"] for _ in range(5)) > 0.5

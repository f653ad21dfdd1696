"""Pairs drawn by the seed: which items and users may be drawn, and which may not."""

import numpy as np
import pytest
import torch

from mmgraph.data import MultimodalDataset
from mmgraph.training import TrainingConfig
from mmgraph.unlearning.draws import Draws, draw_pairs
from mmgraph.unlearning.forget_pairs import Pairs
from mmgraph.unlearning.request import read_request
from mmgraph.unlearning.retain import Division, divide
from mmgraph.unlearning.settings import UnlearningConfig


def draw(
    division: Division, *, seed: int = 0, pool: str = "train_items", **options: object
) -> Draws:
    return draw_pairs(
        division,
        training=TrainingConfig(negatives=pool),  # type: ignore[arg-type]
        config=UnlearningConfig(**options),  # type: ignore[arg-type]
        block_size=8,
        seed=seed,
        device=torch.device("cpu"),
    )


def known(data: MultimodalDataset) -> set[tuple[int, int]]:
    parts = (data.train, data.valid, data.test)
    return {(u, i) for p in parts for u, i in zip(p.user.tolist(), p.item.tolist(), strict=True)}


@pytest.mark.parametrize("pool", ["train_items", "all_items"])
@pytest.mark.parametrize("negatives", ["popular", "uniform"])
def test_forgotten_pairs_stand_beside_retained_items_nobody_met(
    division: Division, pool: str, negatives: str
) -> None:
    drawn = draw(division, pool=pool, negatives=negatives)
    train = division.whole.train
    met = set(zip(train.user.tolist(), train.item.tolist(), strict=True))
    for batch in drawn.forget.epoch(5, torch.Generator().manual_seed(0)):
        assert not torch.isin(batch.negative, torch.tensor([3, 7])).any()
        pairs = zip(batch.user.tolist(), batch.negative.tolist(), strict=True)
        assert met.isdisjoint(pairs)
    lost = drawn.goal.forgotten
    assert sorted(zip(lost.user.tolist(), lost.item.tolist(), strict=True)) == sorted(
        zip(division.forgotten.user.tolist(), division.forgotten.item.tolist(), strict=True)
    )


def test_matched_pairs_share_what_is_forgotten_and_are_in_no_part(division: Division) -> None:
    drawn = draw(division)
    lost, matched = drawn.goal.forgotten, drawn.matched
    by_item = torch.isin(lost.item, torch.tensor([3, 7]))
    assert by_item.any()
    assert not by_item.all()
    assert torch.equal(matched.item[by_item], lost.item[by_item])
    assert torch.equal(matched.user[~by_item], lost.user[~by_item])
    pairs = set(zip(matched.user.tolist(), matched.item.tolist(), strict=True))
    assert pairs.isdisjoint(known(division.whole))
    assert not torch.isin(matched.user[by_item], torch.tensor([4])).any()
    assert not torch.isin(matched.item[~by_item], torch.tensor([3, 7])).any()


def with_test_part(data: MultimodalDataset, user: list[int], item: list[int]) -> MultimodalDataset:
    rows = type(data.test)(np.array(user), np.array(item))
    return MultimodalDataset(**{**vars(data), "test": rows})


def columns(pairs: Pairs) -> list[list[int]]:
    return [x.tolist() for x in (pairs.user, pairs.item, pairs.other)]


@pytest.mark.parametrize("target", ["auto", "unobserved", "held_out"])
@pytest.mark.parametrize(
    "asked", [{"users": ["4", "5"]}, {"items": ["3", "7"]}, {"interactions": [("0", "2")]}]
)
def test_planted_test_rows_decide_nothing(
    board: MultimodalDataset, asked: dict[str, list[str]], target: str
) -> None:
    """Other test rows, same training rows: what is pushed down and when it counts as forgotten stay the same."""
    # In the one, test rows are most of what users have not learned; only the pairs that measure may differ.
    users, items = [4, 4, 4, 5, 5, 5, 8, 9, 10, 11], [1, 5, 9, 0, 2, 4, 3, 3, 7, 7]
    plain, planted = board, with_test_part(board, users, items)
    drawn = [
        draw(divide(data, read_request(data, **asked)), target=target)  # type: ignore[arg-type]
        for data in (plain, planted)
    ]
    for part in ("forgotten", "target"):
        first, second = (columns(getattr(found.goal, part)) for found in drawn)
        assert first == second
    batches = [
        [batch._asdict() for batch in found.forget.epoch(5, torch.Generator().manual_seed(1))]
        for found in drawn
    ]
    for one, other in zip(*batches, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in ("user", "positive", "negative"))
    measured = drawn[1].matched
    pairs = set(zip(measured.user.tolist(), measured.item.tolist(), strict=True))
    assert pairs.isdisjoint(known(planted))


def test_the_target_of_unobserved_pairs_is_met_neither_in_training_nor_in_validation(
    board: MultimodalDataset,
) -> None:
    held = type(board.train)(np.array([4, 4, 5]), np.array([1, 3, 2]))
    data = MultimodalDataset(**{**vars(board), "valid": held})
    aim = draw(divide(data, read_request(data, users=["4", "5"]))).goal.target
    found = set(zip(aim.user.tolist(), aim.item.tolist(), strict=True))
    parts = (data.train, data.valid)
    met = {(u, i) for p in parts for u, i in zip(p.user.tolist(), p.item.tolist(), strict=True)}
    assert found.isdisjoint(met)
    tested = {pair for pair in zip(data.test.user.tolist(), data.test.item.tolist(), strict=True)}
    assert found & tested  # a test row is as unknown as any other


def test_single_interactions_aim_at_the_validation_part(board: MultimodalDataset) -> None:
    # The last training row of each user becomes a validation row.
    train = board.train
    rows = torch.arange(len(train)).numpy()
    last = rows[torch.tensor(train.user).diff(append=torch.tensor([-1])).numpy() != 0]
    valid = type(train)(train.user[last], train.item[last])
    stays = ~torch.isin(torch.from_numpy(rows), torch.from_numpy(last)).numpy()
    data = MultimodalDataset(
        **{
            **vars(board),
            "train": type(train)(train.user[stays], train.item[stays]),
            "valid": valid,
        }
    )
    first = (data.users[data.train.user[0]], data.items[data.train.item[0]])
    division = divide(data, read_request(data, interactions=[first]))
    held_out = set(zip(valid.user.tolist(), valid.item.tolist(), strict=True))
    for target, expected in (("auto", True), ("held_out", True), ("unobserved", False)):
        aim = draw(division, target=target).goal.target
        found = set(zip(aim.user.tolist(), aim.item.tolist(), strict=True))
        assert (found == held_out) is expected
    by_user = divide(data, read_request(data, users=["0"]))
    aim = draw(by_user).goal.target
    assert set(aim.user.tolist()) == {0}


def test_the_seed_decides(division: Division) -> None:
    first, same, other = (draw(division, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.matched.user, same.matched.user)
    assert torch.equal(first.goal.target.other, same.goal.target.other)
    assert not torch.equal(first.goal.forgotten.other, other.goal.forgotten.other)

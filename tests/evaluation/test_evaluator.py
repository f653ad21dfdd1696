"""The evaluator against the same evaluation written with Python sets, and its conventions."""

import logging
import math
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

from mmgraph.errors import ConfigError, DataError, FitError
from mmgraph.evaluation import (
    METRICS,
    EvaluationConfig,
    EvaluationResult,
    Evaluator,
    write_per_user,
)

NUM_USERS, NUM_ITEMS = 30, 25
SMALL = EvaluationConfig(ks=(1, 5, 10), select_by="recall@10", block_size=8)
Arrays = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def split() -> tuple[Arrays, Arrays, Arrays]:
    """A random split; the last three users have training interactions only."""
    generator = np.random.default_rng(5)
    cells = generator.permutation(NUM_USERS * NUM_ITEMS)[:400]
    parts = np.split(cells, [220, 300])
    parts[1:] = [part[part // NUM_ITEMS < NUM_USERS - 3] for part in parts[1:]]
    train, valid, test = ((part // NUM_ITEMS, part % NUM_ITEMS) for part in parts)
    return train, valid, test


@pytest.fixture(scope="module")
def scores() -> torch.Tensor:
    generator = torch.Generator().manual_seed(9)
    # Rounded, so that ties matter.
    return torch.randn(NUM_USERS, NUM_ITEMS, generator=generator).mul(4).round()


def by_sets(
    scores: torch.Tensor, seen: list[Arrays], held_out: Arrays, ks: tuple[int, ...]
) -> dict[int, dict[str, float]]:
    """The plain way: sorting and set membership, user by user."""
    hidden = {(int(u), int(i)) for users, items in seen for u, i in zip(users, items, strict=True)}
    wanted: dict[int, set[int]] = {}
    for user, item in zip(*held_out, strict=True):
        wanted.setdefault(int(user), set()).add(int(item))
    result = {}
    for user, relevant in sorted(wanted.items()):
        row = scores[user].tolist()
        ranked = sorted(
            (i for i in range(len(row)) if (user, i) not in hidden), key=lambda i: (-row[i], i)
        )
        values = {}
        for k in ks:
            ranks = [r for r, item in enumerate(ranked[:k], start=1) if item in relevant]
            ideal = sum(1 / math.log2(r + 1) for r in range(1, min(len(relevant), k) + 1))
            values[f"recall@{k}"] = len(ranks) / len(relevant)
            values[f"ndcg@{k}"] = sum(1 / math.log2(r + 1) for r in ranks) / ideal
            values[f"precision@{k}"] = len(ranks) / k
            values[f"map@{k}"] = sum(n / r for n, r in enumerate(ranks, start=1)) / min(
                len(relevant), k
            )
            values[f"mrr@{k}"] = 1 / ranks[0] if ranks else 0.0
            values[f"hit@{k}"] = float(bool(ranks))
        result[user] = values
    return result


def check_equal(result: EvaluationResult, expected: dict[int, dict[str, float]]) -> None:
    assert result.users.tolist() == list(expected)
    for name, values in result.per_user.items():
        wanted = [row[name] for row in expected.values()]
        assert values.dtype == torch.float64
        assert values.tolist() == pytest.approx(wanted, abs=1e-12), name
        assert result.mean[name] == pytest.approx(sum(wanted) / len(wanted), abs=1e-12)


def test_validation_leaves_out_training_items(
    split: tuple[Arrays, Arrays, Arrays], scores: torch.Tensor
) -> None:
    train, valid, _ = split
    evaluator = Evaluator.for_validation(
        train, valid, num_users=NUM_USERS, num_items=NUM_ITEMS, config=SMALL
    )
    result = evaluator.evaluate(lambda users: scores[users])
    check_equal(result, by_sets(scores, [train], valid, SMALL.ks))


@pytest.mark.parametrize("mask_valid", [False, True])
def test_validation_items_are_candidates_at_test_time_unless_masked(
    split: tuple[Arrays, Arrays, Arrays], scores: torch.Tensor, mask_valid: bool
) -> None:
    train, valid, test = split
    config = SMALL.model_copy(update={"mask_valid_at_test": mask_valid})
    evaluator = Evaluator.for_test(
        train, valid, test, num_users=NUM_USERS, num_items=NUM_ITEMS, config=config
    )
    result = evaluator.evaluate(lambda users: scores[users])
    seen = [train, valid] if mask_valid else [train]
    check_equal(result, by_sets(scores, seen, test, SMALL.ks))


@pytest.mark.parametrize("mask_valid", [False, True])
def test_cold_candidates_leave_all_items_with_training_interactions_out(
    scores: torch.Tensor, mask_valid: bool
) -> None:
    """Items 15 and above have no training interactions; some of what is held out is warm and so missed."""
    generator = np.random.default_rng(8)
    users = np.arange(NUM_USERS).repeat(6)
    train = (users, generator.integers(0, 15, len(users)))
    valid = (users[::2], generator.integers(15, NUM_ITEMS, len(users[::2])))
    test = (users[1::2], generator.integers(13, NUM_ITEMS, len(users[1::2])))
    config = SMALL.model_copy(update={"candidates": "cold", "mask_valid_at_test": mask_valid})
    sizes = {"num_users": NUM_USERS, "num_items": NUM_ITEMS, "config": config}
    everyone, warm = np.divmod(np.arange(NUM_USERS * 15), 15)
    hidden = [train, (everyone, warm)]
    result = Evaluator.for_validation(train, valid, **sizes).evaluate(lambda u: scores[u])
    check_equal(result, by_sets(scores, hidden, valid, SMALL.ks))
    evaluator = Evaluator.for_test(train, valid, test, **sizes)
    pairs = {(int(u), int(i)) for u, i in zip(*test, strict=True)}
    masked = {(int(u), int(i)) for u, i in zip(*valid, strict=True)} if mask_valid else set()
    assert evaluator.num_masked == sum(i < 15 or (u, i) in masked for u, i in pairs)
    result = evaluator.evaluate(lambda u: scores[u])
    hidden += [valid] if mask_valid else []
    check_equal(result, by_sets(scores, hidden, test, SMALL.ks))
    assert result.top_items[result.top_items >= 0].min() >= 15


@pytest.mark.parametrize("items", [range(NUM_ITEMS), []])
def test_cold_candidates_need_warm_and_cold_items(items) -> None:
    config = SMALL.model_copy(update={"candidates": "cold"})
    train = [0] * len(items), list(items)
    with pytest.raises(ConfigError, match=f"{len(items)} of {NUM_ITEMS} have some"):
        Evaluator.for_validation(train, ([1], [2]), num_users=2, num_items=NUM_ITEMS, config=config)


def test_published_convention_is_the_default() -> None:
    pairs = ([0], [0]), ([0], [1]), ([0], [2])
    row = torch.tensor([[3.0, 2.0, 1.0]])
    config = EvaluationConfig(ks=(1,), metrics=("recall",), select_by="recall@1")
    for mask_valid, top in ((False, 1), (True, 2)):
        evaluator = Evaluator.for_test(
            *pairs,
            num_users=1,
            num_items=3,
            config=config.model_copy(update={"mask_valid_at_test": mask_valid}),
        )
        assert evaluator.evaluate(lambda users: row[users]).top_items.tolist() == [[top]]
    assert not EvaluationConfig().mask_valid_at_test


def test_results_do_not_depend_on_the_block_size_or_the_order_of_rows(
    split: tuple[Arrays, Arrays, Arrays], scores: torch.Tensor
) -> None:
    train, _, test = split
    results = []
    for block_size, step in ((1, 1), (7, -1), (1024, 1)):
        evaluator = Evaluator(
            (test[0][::step], test[1][::step]),
            (train[0][::step], train[1][::step]),
            num_users=NUM_USERS,
            num_items=NUM_ITEMS,
            config=SMALL.model_copy(update={"block_size": block_size}),
        )
        results.append(evaluator.evaluate(lambda users: scores[users]))
    for other in results[1:]:
        assert other.mean == results[0].mean
        assert torch.equal(other.top_items, results[0].top_items)


def test_names_come_in_a_stable_order(
    split: tuple[Arrays, Arrays, Arrays], scores: torch.Tensor
) -> None:
    config = EvaluationConfig(ks=(10, 5), metrics=("ndcg", "recall"), select_by="ndcg@5")
    expected = ["ndcg@10", "ndcg@5", "recall@10", "recall@5"]
    evaluator = Evaluator(split[2], None, num_users=NUM_USERS, num_items=NUM_ITEMS, config=config)
    result = evaluator.evaluate(lambda users: scores[users])
    assert list(config.names) == list(result.mean) == list(result.per_user) == expected
    assert result.top_items.shape == (len(result.users), 10)


def test_a_repeated_held_out_pair_counts_once() -> None:
    config = EvaluationConfig(ks=(1,), metrics=("recall",), select_by="recall@1")
    evaluator = Evaluator(([0, 0], [1, 1]), None, num_users=1, num_items=2, config=config)
    assert evaluator.evaluate(lambda users: torch.tensor([[0.0, 1.0]])[users]).mean == {
        "recall@1": 1.0
    }


def test_held_out_pairs_that_are_masked_are_reported_and_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = EvaluationConfig(ks=(1,), metrics=("recall",), select_by="recall@1")
    with caplog.at_level(logging.WARNING):
        evaluator = Evaluator(([0, 0], [0, 1]), ([0], [0]), num_users=1, num_items=3, config=config)
    assert evaluator.num_masked == 1
    assert "1 of 2 held-out interactions" in caplog.text
    result = evaluator.evaluate(lambda users: torch.tensor([[3.0, 2.0, 1.0]])[users])
    assert result.mean == {"recall@1": 0.5}


def test_progress_reaches_the_end(
    split: tuple[Arrays, Arrays, Arrays], scores: torch.Tensor
) -> None:
    done: list[tuple[int, int]] = []
    evaluator = Evaluator(split[2], None, num_users=NUM_USERS, num_items=NUM_ITEMS, config=SMALL)
    evaluator.evaluate(lambda users: scores[users], lambda part, total: done.append((part, total)))
    total = len(evaluator.users)
    assert done == [(min(part, total), total) for part in range(8, total + 8, 8)]


def test_nan_scores_name_the_user() -> None:
    config = EvaluationConfig(ks=(1,), metrics=("recall",), select_by="recall@1")
    evaluator = Evaluator(([3], [0]), None, num_users=4, num_items=2, config=config)
    with pytest.raises(FitError, match="user 3: the score of item 0"):
        evaluator.evaluate(lambda users: torch.full((len(users), 2), math.nan))


def test_k_above_the_number_of_items() -> None:
    with pytest.raises(
        ConfigError, match=r"^evaluation\.ks .* \(got 50 with 25 items\); lower .*$"
    ):
        Evaluator(([0], [0]), None, num_users=1, num_items=25)


def test_nothing_held_out() -> None:
    with pytest.raises(DataError, match=r"^held-out interactions must not be empty \(got 0\); "):
        Evaluator(([], []), ([0], [0]), num_users=1, num_items=50)


def test_bad_indices_say_which_interactions() -> None:
    with pytest.raises(DataError, match=r"^held-out interactions: item in row 0 .* \(got 50\)"):
        Evaluator(([0], [50]), None, num_users=1, num_items=50)
    with pytest.raises(DataError, match=r"^seen interactions: user in row 0 .* \(got 1\)"):
        Evaluator(([0], [0]), ([1], [0]), num_users=1, num_items=50)


def test_empty_validation_can_be_masked() -> None:
    config = EvaluationConfig(mask_valid_at_test=True)
    evaluator = Evaluator.for_test(
        ([0], [0]), ([], []), ([0], [1]), num_users=1, num_items=50, config=config
    )
    assert evaluator.users.tolist() == [0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ks": ()}, "ks must be distinct positive list lengths (got [])"),
        ({"ks": (20, 20)}, "ks must be distinct positive list lengths (got [20, 20])"),
        ({"ks": (0, 20)}, "ks must be distinct positive list lengths (got [0, 20])"),
        ({"metrics": ()}, "metrics must be distinct names (got [])"),
        ({"metrics": ("recall", "recall")}, "metrics must be distinct names"),
        ({"metrics": ("recall", "precison")}, "did you mean 'precision'?"),
        ({"select_by": "recall"}, "metric must be NAME@K"),
        ({"select_by": "recall@30"}, "select_by must be one of the metrics computed"),
        ({"select_by": "hit@20", "metrics": ("recall",)}, "(got 'hit@20' with recall@5, recall@10"),
        ({"block_size": 0}, "greater than or equal to 1"),
        ({"top_k": 5}, "Extra inputs are not permitted"),
    ],
)
def test_config_rejects(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        EvaluationConfig.model_validate(fields)


def test_config_defaults_are_frozen_and_survive_json() -> None:
    config = EvaluationConfig()
    assert config.ks == (5, 10, 20, 50)
    assert config.metrics == tuple(METRICS)
    assert config.select_by == "recall@20"
    assert EvaluationConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError, match="frozen"):
        config.block_size = 2  # type: ignore[misc]


@pytest.fixture
def result(split: tuple[Arrays, Arrays, Arrays], scores: torch.Tensor) -> EvaluationResult:
    evaluator = Evaluator(
        split[2], split[0], num_users=NUM_USERS, num_items=NUM_ITEMS, config=SMALL
    )
    return evaluator.evaluate(lambda users: scores[users])


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_per_user_table_holds_every_value(
    result: EvaluationResult, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"per_user.{suffix}"
    ids = [f"u{user:03}" for user in range(NUM_USERS)]
    write_per_user(result, path, external_user_ids=ids)
    table = pl.read_parquet(path) if suffix == "parquet" else pl.read_csv(path)
    assert table.columns == ["user", *result.mean]
    assert table["user"].to_list() == [ids[user] for user in result.users.tolist()]
    for name, values in result.per_user.items():
        assert table[name].to_list() == values.tolist(), name
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_per_user_table_keeps_numeric_ids_as_text(result: EvaluationResult, tmp_path: Path) -> None:
    path = tmp_path / "per_user.parquet"
    write_per_user(result, path, external_user_ids=[str(user) for user in range(NUM_USERS)])
    assert pl.read_parquet(path)["user"].dtype == pl.String


def test_per_user_table_rejects(result: EvaluationResult, tmp_path: Path) -> None:
    ids = [str(user) for user in range(NUM_USERS)]
    with pytest.raises(ConfigError, match=r"must end in \.parquet or \.csv \(got '\.xlsx'\)"):
        write_per_user(result, tmp_path / "per_user.xlsx", external_user_ids=ids)
    with pytest.raises(DataError, match=r"must have an id for every user \(got 5 ids"):
        write_per_user(result, tmp_path / "per_user.csv", external_user_ids=ids[:5])
    assert not list(tmp_path.iterdir())

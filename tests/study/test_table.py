"""Rows of a table: whose figures they are, and what may stand beside what."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_rel

from mmgraph.errors import ConfigError
from mmgraph.study import Place, StudyObserver
from mmgraph.study.plan import Setting, Study
from mmgraph.study.pool import run_trials
from mmgraph.study.table import Row, paired_tests, rows_of, shown_metrics, user_values


@pytest.fixture(scope="module")
def study(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three settings over two seeds, all complete but one."""
    values = {"data": {"dataset": str(shop)}, "training": {"max_epochs": 2}}
    settings = tuple(
        Setting(label, {**values, "model": {"name": name, "embedding_dim": 4}}, "mine.toml", {})
        for label, name in (("a", "bpr_mf"), ("b", "lightgcn"), ("c", "bpr_mf"))
    )
    study = Study(tmp_path_factory.mktemp("table"), settings, (1, 2))
    wanted = [t for t in study.trials() if (t.label, t.seed) != ("b", 2)]
    assert run_trials(wanted, StudyObserver(), place=Place()) == {}
    return study


def test_rows_have_the_complete_runs_of_their_seeds(study: Study) -> None:
    rows = rows_of(study)
    assert [(row.label, len(row.runs)) for row in rows] == [("a", 2), ("b", 1), ("c", 2)]
    record = rows[0].record(parts=("valid", "test"))
    assert record["seeds"] == [1, 2]
    metrics = [run.metrics for run in rows[0].runs]
    assert record["test"]["ndcg@10"] == [m["test"]["ndcg@10"] for m in metrics]
    assert record["valid"]["recall@20"] == [m["valid"]["recall@20"] for m in metrics]
    assert record["epochs"] == [2, 2]
    assert "seed" not in record["recipe"]
    assert "dataset" not in record["recipe"]["data"]
    assert "test" not in rows[0].record(parts=("valid",))


def test_metrics_that_all_rows_have_are_shown(study: Study) -> None:
    rows = rows_of(study)
    assert shown_metrics(rows, "test", "recall@20") == [
        "recall@10", "recall@20", "ndcg@10", "ndcg@20", "precision@10", "precision@20",
    ]  # fmt: skip
    assert shown_metrics(rows, "test", "map@5")[:2] == ["map@5", "recall@10"]


def test_users_are_paired_after_averaging_over_seeds(study: Study) -> None:
    a, b, c = rows_of(study)
    tests = paired_tests([a, b, c], a, ["recall@10", "recall@20"])
    assert [(t["metric"], t["label"], t["against"]) for t in tests] == [
        ("recall@10", "b", "a"),
        ("recall@10", "c", "a"),
        ("recall@20", "b", "a"),
        ("recall@20", "c", "a"),
    ]

    def by_hand(row: Row) -> dict[str, float]:
        tables = [pl.read_parquet(run.path / "per_user.parquet") for run in row.runs]
        joined = pl.concat(tables).group_by("user").agg(pl.col("recall@20").mean())
        return dict(zip(joined["user"], joined["recall@20"], strict=True))

    mine, theirs = by_hand(b), by_hand(a)
    users = sorted(mine)
    first, second = (np.array([values[user] for user in users]) for values in (mine, theirs))
    assert tests[2]["difference"] == pytest.approx(float((first - second).mean()))
    assert tests[2]["p_value"] == pytest.approx(float(ttest_rel(first, second).pvalue))
    # c is a over again: no difference, so no test, and b's is not corrected for it.
    assert tests[3]["difference"] == 0
    assert (tests[3]["p_value"], tests[3]["p_holm"]) == (None, None)
    assert tests[2]["p_holm"] == tests[2]["p_value"]


def test_values_of_users_are_rows_of_seeds(study: Study) -> None:
    (row, *_) = rows_of(study)
    values = user_values(row.runs, "recall@20")
    assert values.shape[0] == 2
    assert values.mean(axis=1).tolist() == pytest.approx(row.values("test", "recall@20"))


def test_other_users_and_other_splits_are_not_compared(study: Study, tmp_path: Path) -> None:
    base, other = study.settings[0], study.settings[1]
    split = {
        **other.values,
        "data": {**other.values["data"], "split": {"method": "ratio", "seed": 9}},
    }
    changed = replace(other, values=split)
    mixed = Study(tmp_path, (base, changed), (1,))
    run_trials(list(mixed.trials()), StudyObserver(), place=Place())
    with pytest.raises(ConfigError, match=r"same split .*those of a and b"):
        rows_of(mixed)


def test_runs_of_data_that_changed_in_between_are_not_compared(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = iter([{"split_hash": "s", "dataset_hash": str(n // 4)} for n in range(100)])
    monkeypatch.setattr(
        "mmgraph.export.RunFolder.facts", lambda self: self.read_json("run.json") | next(facts)
    )
    with pytest.raises(ConfigError, match="the data set has changed"):
        rows_of(study)

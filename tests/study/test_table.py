"""Rows of a table: whose figures they are, and what may stand beside what."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_rel

from mmgraph.errors import ConfigError
from mmgraph.export import RunFolder
from mmgraph.study import Place, StudyObserver
from mmgraph.study.plan import Setting, Study
from mmgraph.study.pool import run_trials
from mmgraph.study.table import (
    Row,
    environment_of,
    paired_tests,
    rows_of,
    shown_metrics,
    user_values,
)


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


def test_rows_have_the_complete_runs_of_their_seeds_and_whole_ones_stand_first(
    study: Study,
) -> None:
    rows = rows_of(study)
    assert [(row.label, len(row.runs)) for row in rows] == [("a", 2), ("c", 2), ("b", 1)]
    assert [row.is_whole(study.seeds) for row in rows] == [True, True, False]
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
    a, c, b = rows_of(study)
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
    values = user_values(row.runs, ["recall@20"])["recall@20"]
    assert values.shape[0] == 2
    assert values.mean(axis=1).tolist() == pytest.approx(row.values("test", "recall@20"))


def test_the_table_of_a_run_is_read_once_whatever_is_tested(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(study)
    read: list[str] = []
    hashed: list[str] = []
    of_file, verify = pl.read_parquet, RunFolder.verify
    monkeypatch.setattr(
        pl, "read_parquet", lambda path, **k: read.append(str(path)) or of_file(path, **k)
    )
    monkeypatch.setattr(
        RunFolder,
        "verify",
        lambda self, name: hashed.append(f"{self / name}") or verify(self, name),
    )
    tests = paired_tests(rows, rows[0], ["recall@10", "recall@20", "ndcg@10"])
    assert len(tests) == 6
    expected = sorted(str(run.path / "per_user.parquet") for row in rows for run in row.runs)
    assert sorted(read) == sorted(name for name in hashed if "per_user" in name) == expected


@pytest.mark.parametrize(
    ("key", "part"),
    [("split_hash", "must have the same split"), ("dataset_hash", "the data set has changed")],
)
def test_data_that_changed_while_the_study_was_at_work_are_found(
    study: Study, monkeypatch: pytest.MonkeyPatch, key: str, part: str
) -> None:
    def facts(folder: RunFolder) -> dict[str, Any]:
        noted = folder.read_json("run.json")
        return noted if folder.path.name == "seed-1" else {**noted, key: "of the new data"}

    monkeypatch.setattr(RunFolder, "facts", facts)
    with pytest.raises(ConfigError, match=part):
        rows_of(study)


def test_the_environment_is_that_of_the_runs() -> None:
    tables = [
        {"threads": 1, "cuda": None, "packages": {"torch": "2.1", "numpy": "2.0"}},
        {"threads": 2, "cuda": None, "packages": {"torch": "2.1", "numpy": "2.1"}},
        {"threads": 1, "cuda": None, "packages": {"torch": "2.1", "numpy": "2.0"}, "new": [1]},
    ]
    runs: Any = [
        SimpleNamespace(
            folder=SimpleNamespace(
                read_json=lambda name, t=table: t, facts=lambda d=device: {"device": d}
            )
        )
        for table, device in zip(tables, ("cpu", "cpu", "cuda"), strict=True)
    ]
    assert environment_of(runs) == (
        {"cuda": None, "packages": {"torch": "2.1"}},
        {
            "threads": [1, 2],
            "packages.numpy": ["2.0", "2.1"],
            "device": ["cpu", "cuda"],
            "new": [None, [1]],
        },
    )
    assert environment_of(runs[:1]) == ({**tables[0], "device": "cpu"}, {})

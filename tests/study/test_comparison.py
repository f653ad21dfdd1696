"""Comparisons: trained once, tested against one row, written whole, refused before anything is trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmgraph.errors import ConfigError, FitError, MissingDependency
from mmgraph.experiment import load_run
from mmgraph.study import StudyObserver, compare

QUICK = ("training.max_epochs=2", "model.embedding_dim=4")
Finished = tuple[Path, dict[str, Any]]


class Counter(StudyObserver):
    """Remembers how much there was to do."""

    def begins(self, total: int, complete: int) -> None:
        self.total, self.complete = total, complete


@pytest.fixture(scope="module")
def finished(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("comparison")
    record = compare(["lightgcn", "bpr_mf"], str(shop), seeds=2, overrides=QUICK, out=out)
    return out, record


def test_the_record_has_what_the_runs_measured(finished: Finished, shop: Path) -> None:
    out, record = finished
    files = record.pop("files")
    assert sorted(Path(f).name for f in files) == [
        "comparison.json",
        "comparison.png",
        "comparison.svg",
    ]
    assert json.loads((out / "comparison.json").read_text()) == record
    assert (record["study"], record["dataset"], record["failed"]) == ("compare", "shop", [])
    assert [row["label"] for row in record["rows"]] == ["lightgcn", "bpr_mf"]
    assert [row["source"] for row in record["rows"]] == [
        "defaults of lightgcn",
        "defaults of bpr_mf",
    ]
    for row in record["rows"]:
        for seed, value in zip(row["seeds"], row["test"]["ndcg@10"], strict=True):
            run = load_run(out / row["label"] / f"seed-{seed}")
            assert run.metrics["test"]["ndcg@10"] == value
    assert str(shop) not in json.dumps(record)
    means = {row["label"]: sum(row["test"]["recall@20"]) / 2 for row in record["rows"]}
    assert means[record["best"]] == max(means.values())
    assert record["against"] == record["best"]
    assert {test["label"] for test in record["tests"]} == set(means) - {record["best"]}
    assert {test["metric"] for test in record["tests"]} == set(record["metrics"])


def test_complete_runs_are_not_trained_again(
    finished: Finished, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, record = finished
    monkeypatch.setattr("mmgraph.study.trial.train", lambda *a, **k: pytest.fail("trained again"))
    counter = Counter()
    again = compare(
        ["lightgcn", "bpr_mf"],
        str(shop),
        seeds=2,
        overrides=QUICK,
        out=out,
        against="bpr_mf",
        metric="ndcg@10",
        observer=counter,
    )
    assert (counter.total, counter.complete) == (4, 4)
    assert again["rows"] == record["rows"]
    assert again["against"] == "bpr_mf"
    assert {test["against"] for test in again["tests"]} == {"bpr_mf"}


def test_more_seeds_add_runs_to_those_that_are_there(finished: Finished, shop: Path) -> None:
    out, _ = finished
    counter = Counter()
    words = {"overrides": QUICK, "out": out, "observer": counter}
    compare(["bpr_mf"], str(shop), seeds=1, first_seed=2028, **words)  # type: ignore[arg-type]
    assert (counter.total, counter.complete) == (1, 0)
    record = compare(["bpr_mf"], str(shop), seeds=3, **words)  # type: ignore[arg-type]
    assert (counter.total, counter.complete) == (3, 3)
    assert record["tests"] == []  # alone in its table
    assert record["seeds"] == [2026, 2027, 2028]


@pytest.mark.parametrize(
    ("recipes", "changes", "part"),
    [
        (["bpr_mf", "lightgcm"], {}, "did you mean 'lightgcn'"),
        ([], {}, "needs recipes"),
        (["bpr_mf", "bpr_mf"], {}, "got 'bpr_mf' and 'bpr_mf'"),
        (["bpr_mf"], {"against": "bpr"}, "--against must be the label of a row"),
        (["bpr_mf"], {"metric": "recall@21"}, "must be one that is measured"),
        (["bpr_mf"], {"seeds": 0}, "--seeds must be at least 1"),
        (["bpr_mf", "lightgcn"], {"overrides": ["model.num_layers=1"]}, "bpr_mf: unknown key"),
        (["mm_gef"], {"overrides": ['data.modalities=["smell"]']}, "smell"),
    ],
)
def test_nothing_is_trained_for_a_mistake(
    shop: Path, tmp_path: Path, recipes: list[str], changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        compare(recipes, str(shop), out=tmp_path / "new", **changes)
    assert list(tmp_path.iterdir()) == []


def test_other_settings_under_the_same_name_are_refused(finished: Finished, shop: Path) -> None:
    out, _ = finished
    with pytest.raises(ConfigError, match=r"training.max_epochs is 2 there, 3 is asked for"):
        compare(["bpr_mf"], str(shop), overrides=["training.max_epochs=3", QUICK[1]], out=out)


def test_a_failed_run_is_in_the_record_and_the_others_are_compared(
    shop: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('[model]\nname = "bpr_mf"\n[training]\nlearning_rate = 1e38\nmax_epochs = 4\n')
    good = tmp_path / "good.toml"
    good.write_text('[model]\nname = "bpr_mf"\n[training]\nmax_epochs = 2\n')
    record = compare([bad, good], str(shop), seeds=2, out=tmp_path / "out")
    assert [(f["label"], f["seed"]) for f in record["failed"]] == [("bad", 2026), ("bad", 2027)]
    assert [row["label"] for row in record["rows"]] == ["good"]
    with pytest.raises(FitError, match="no run of the study came to its end"):
        compare([bad], str(shop), seeds=1, out=tmp_path / "out")
    with pytest.raises(FitError, match="no run of bad came to its end"):
        compare([bad, good], str(shop), seeds=1, against="bad", out=tmp_path / "out")


def test_without_matplotlib_nothing_is_begun(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependency, match="pip install"):
        compare(["bpr_mf"], str(shop), out=tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_has_a_name_where_none_is_given(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = compare(["bpr_mf"], str(shop), seeds=1, overrides=QUICK)
    assert record["files"][0] == "runs/shop/compare/comparison.json"

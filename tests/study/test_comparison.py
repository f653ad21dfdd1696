"""Comparisons: trained once, tested against one row, written whole, refused before anything is trained."""

import json
import shutil
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
    tested, validated = (
        {row["label"]: sum(row[part]["recall@20"]) / 2 for row in record["rows"]}
        for part in ("test", "valid")
    )
    assert tested[record["best"]] == max(tested.values())
    assert validated[record["against"]] == max(validated.values())
    assert record["against_by"] == "validation"
    assert {test["label"] for test in record["tests"]} == set(tested) - {record["against"]}
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
    assert (again["against"], again["against_by"]) == ("bpr_mf", "name")
    assert again["options"] == {
        "recipes": ["lightgcn", "bpr_mf"],
        "set": list(QUICK),
        "against": "bpr_mf",
        "metric": "ndcg@10",
    }
    assert {test["against"] for test in again["tests"]} == {"bpr_mf"}


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """Return a copy of the study, to be changed at will."""
    return Path(shutil.copytree(finished[0], tmp_path / "copied"))


def change(run: Path, name: str, **tables: Any) -> None:
    """Change keys of tables of one of the JSON files of a run."""
    values = json.loads((run / name).read_text())
    for key, value in tables.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    (run / name).write_text(json.dumps(values))


def test_the_reference_is_not_chosen_by_what_is_tested(copied: Path, shop: Path) -> None:
    figures = {"lightgcn": (0.1, 0.9), "bpr_mf": (0.2, 0.1)}  # bpr_mf is ahead on validation alone
    for label, (valid, test) in figures.items():
        for seed in (2026, 2027):
            tables = {"valid": {"recall@20": valid}, "test": {"recall@20": test}}
            change(copied / label / f"seed-{seed}", "metrics.json", **tables)
    words: Any = {"seeds": 2, "overrides": QUICK, "out": copied}
    record = compare([*figures], str(shop), **words)
    assert (record["against"], record["against_by"]) == ("bpr_mf", "validation")
    assert record["best"] == "lightgcn"
    assert {test["against"] for test in record["tests"]} == {"bpr_mf"}


def test_a_row_that_lacks_a_seed_is_neither_the_best_nor_tested(
    copied: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lucky = {"recall@20": 1.0}
    change(copied / "lightgcn" / "seed-2026", "metrics.json", valid=lucky, test=lucky)
    shutil.rmtree(copied / "lightgcn" / "seed-2027")

    def failing(*_: object, **__: object) -> None:
        raise FitError("the loss must stay finite")

    monkeypatch.setattr("mmgraph.study.trial.train", failing)
    words: Any = {"seeds": 2, "overrides": QUICK, "out": copied}
    record = compare(["lightgcn", "bpr_mf"], str(shop), **words)
    assert [(row["label"], row["seeds"]) for row in record["rows"]] == [
        ("bpr_mf", [2026, 2027]),
        ("lightgcn", [2026]),
    ]
    assert (record["best"], record["against"], record["tests"]) == ("bpr_mf", "bpr_mf", [])
    with pytest.raises(FitError, match=r"lightgcn did not come .* all seeds; the loss must stay"):
        compare(["lightgcn", "bpr_mf"], str(shop), against="lightgcn", **words)


def test_the_environment_is_that_of_the_runs(copied: Path, shop: Path) -> None:
    for number, run in enumerate(sorted(copied.glob("*/seed-*"))):
        change(run, "environment.json", threads=77, cores=number // 3)
    record = compare(["bpr_mf", "lightgcn"], str(shop), seeds=2, overrides=QUICK, out=copied)
    assert record["environment"]["threads"] == 77
    assert record["environment_differs"] == {"cores": [0, 1]}


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ("[data.split]\nseed = 9\n", r"same split .*those of here and there"),
        ("[evaluation]\nmask_valid_at_test = true\n", "must be evaluated alike"),
    ],
)
def test_rows_that_are_no_comparison_are_refused_before_anything_is_trained(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str, part: str
) -> None:
    monkeypatch.setattr("mmgraph.study.trial.train", lambda *a, **k: pytest.fail("trained"))
    for name, text in (("here", ""), ("there", other)):
        (tmp_path / f"{name}.toml").write_text(f'[model]\nname = "bpr_mf"\n{text}')
    recipes = [tmp_path / "here.toml", tmp_path / "there.toml"]
    with pytest.raises(ConfigError, match=part):
        compare(recipes, str(shop), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cold_items_alone_are_compared_where_some_recipes_say_so_themselves(
    shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(
        '[model]\nname = "cb"\n[data.split]\nmethod = "cold_start"\n'
        '[evaluation]\ncandidates = "cold"\n'
    )
    cold = ["data.split.method=cold_start", "evaluation.candidates=cold"]
    recipes = [tmp_path / "own.toml", "cb"]
    with pytest.raises(ConfigError, match="evaluated alike"):
        compare(recipes, str(shop), overrides=cold[:1], out=tmp_path / "out")
    record = compare(recipes, str(shop), seeds=1, overrides=cold, out=tmp_path / "out")
    found = [row["recipe"]["evaluation"]["candidates"] for row in record["rows"]]
    assert found == ["cold", "cold"]


def test_without_a_validation_part_the_reference_must_be_named(
    parted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: Any = {"seeds": 1, "overrides": QUICK, "out": tmp_path / "out"}
    with monkeypatch.context() as patch:
        patch.setattr("mmgraph.study.trial.train", lambda *a, **k: pytest.fail("trained"))
        with pytest.raises(ConfigError, match="name the row to test against with --against"):
            compare(["bpr_mf", "lightgcn"], str(parted), **words)
    record = compare(["bpr_mf", "lightgcn"], str(parted), against="lightgcn", **words)
    assert (record["against"], record["against_by"]) == ("lightgcn", "name")
    alone = compare(["bpr_mf"], str(parted), **words)
    assert alone["tests"] == []


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
    with pytest.raises(FitError, match="no row came to its end with all seeds; "):
        compare([bad], str(shop), seeds=1, out=tmp_path / "out")
    with pytest.raises(FitError, match="bad did not come to its end with all seeds; "):
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

"""What a study refuses before it trains: bad trials, runs on other data, rows that are no comparison."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgraph.errors import ConfigError, DataError
from mmgraph.study import Place, Trial, missing
from mmgraph.study.missing import missing_trials
from mmgraph.study.trial import run_trial


def train(trial: Trial) -> None:
    events: list[Any] = []
    run_trial(trial, events.append, place=Place())
    assert events[-1].kind == "done"


def changed(trial: Trial, label: str = "mine", **tables: dict[str, Any]) -> Trial:
    """Return the trial, under another label, with some keys of some tables changed."""
    values = {name: {**trial.values.get(name, {}), **table} for name, table in tables.items()}
    path = trial.path.parents[1] / label / f"seed-{trial.seed}"
    return replace(trial, label=label, path=path, values={**trial.values, **values})


@pytest.fixture
def elsewhere(shop: Path, tmp_path: Path) -> Path:
    """Return another folder with the same data, to be changed at will."""
    return Path(shutil.copytree(shop, tmp_path / "elsewhere"))


def test_what_is_not_complete_is_missing(trial: Trial) -> None:
    later = replace(trial, seed=8, path=trial.path.with_name("seed-8"))
    assert missing_trials([trial, later], parts=("test",)) == [trial, later]
    train(trial)
    assert missing_trials([trial, later], parts=("test",)) == [later]
    facts = json.loads((trial.path / "run.json").read_text())
    (trial.path / "run.json").write_text(json.dumps({**facts, "complete": False}))
    assert missing_trials([trial, later], parts=("test",)) == [trial, later]


def test_bad_trials_are_found_before_anything_is_trained(trial: Trial, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine: unknown key 'model.num_layer'"):
        missing_trials([changed(trial, model={"num_layer": 1})], parts=("test",))
    with pytest.raises(DataError, match="sound"):
        missing_trials([changed(trial, data={"modalities": ["sound"]})], parts=("test",))
    with pytest.raises(ConfigError, match=r"must be one that is measured \(got 'recall@7'\)"):
        missing_trials([trial], parts=("test",), metric="recall@7")
    # The default length 50 is left out for so few items.
    with pytest.raises(ConfigError, match="recall@50"):
        missing_trials([trial], parts=("test",), metric="recall@50")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"model": {"name": "dragon", "shares": {"sound": 0.3}}},
            r"mine: model.shares must name modalities of the data set \(got {'sound': 0.3}\); known: text, image",
        ),
        (
            {"model": {"name": "margo", "backbone": {"name": "freedom", "shares": {"sound": 0.3}}}},
            r"mine: model.backbone.shares must name modalities of the data set",
        ),
        (
            {"model": {"name": "lattice"}, "graph": {"k": 40}},
            r"mine: k must be between 1 and the number of items that have 'text' - 1 "
            r"\(got 40 with 40 items that have 'text'\); lower graph.k",
        ),
        (
            {"model": {"name": "vbpr"}, "data": {"modalities": []}},
            r"mine: vbpr needs item features \(got none\)",
        ),
    ],
)
def test_what_the_features_cannot_serve_is_found_before_anything_is_trained(
    trial: Trial, tables: dict[str, Any], message: str
) -> None:
    model = {"model": {"name": tables["model"]["name"]}}
    values = {name: table for name, table in trial.values.items() if name not in model}
    with pytest.raises(ConfigError, match=message):
        missing_trials([changed(replace(trial, values=values), **tables)], parts=("test",))


def test_the_same_data_may_lie_elsewhere(trial: Trial, elsewhere: Path) -> None:
    train(trial)
    moved = changed(trial, data={"dataset": str(elsewhere)})
    assert missing_trials([moved], parts=("test",)) == []


@pytest.mark.parametrize("complete", [True, False])
def test_runs_on_other_interactions_are_refused(
    trial: Trial, elsewhere: Path, complete: bool
) -> None:
    train(trial)
    facts = json.loads((trial.path / "run.json").read_text())
    (trial.path / "run.json").write_text(json.dumps({**facts, "complete": complete}))
    rows = (elsewhere / "pairs.csv").read_text().splitlines()
    (elsewhere / "pairs.csv").write_text("\n".join(rows[:-40]) + "\n")
    other = changed(trial, data={"dataset": str(elsewhere)})
    with pytest.raises(ConfigError, match=r"seed-7: must be a run on the data .* their split is"):
        missing_trials([other], parts=("test",))


def test_runs_on_other_features_are_refused(trial: Trial, elsewhere: Path) -> None:
    train(trial)
    x = np.load(elsewhere / "text.npy")
    np.save(elsewhere / "text.npy", x[::-1])
    other = changed(trial, data={"dataset": str(elsewhere)})
    with pytest.raises(ConfigError, match=r"hash of their content is .* choose another --out"):
        missing_trials([other], parts=("test",))


def test_data_are_read_once_for_each_way_of_reading(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    load = missing.load_data
    monkeypatch.setattr(
        missing, "load_data", lambda recipe: read.append(recipe.data.modalities) or load(recipe)
    )
    rows = [trial, changed(trial, "text", data={"modalities": ["text"]})]
    seeds = [replace(row, seed=s, path=row.path.with_name(str(s))) for s in (1, 2) for row in rows]
    assert missing_trials(seeds, parts=("test",)) == seeds
    assert read == [None, ("text",)]


def test_rows_on_other_splits_are_refused(trial: Trial, tmp_path: Path) -> None:
    other = changed(trial, "b", data={"split": {"method": "ratio", "seed": 9}})
    with pytest.raises(ConfigError, match=r"same split .*those of mine and b"):
        missing_trials([trial, other], parts=("test",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mask_valid_at_test", True),
        ("candidates", "cold"),
        ("ks", [10, 20]),
        ("metrics", ["recall", "ndcg"]),
        ("select_by", "ndcg@20"),
    ],
)
def test_rows_that_are_evaluated_in_other_ways_are_refused(
    trial: Trial, tmp_path: Path, key: str, value: object
) -> None:
    other = changed(trial, "b", evaluation={key: value})
    with pytest.raises(
        ConfigError, match=rf"evaluated alike \(evaluation.{key} is .* for mine, .* for b"
    ):
        missing_trials([trial, other], parts=("test",))
    assert list(tmp_path.iterdir()) == []
    both = [changed(row, row.label, evaluation={key: value}) for row in (trial, other)]
    assert missing_trials(both, parts=("test",)) == both


def test_how_it_is_written_and_computed_makes_no_other_evaluation(trial: Trial) -> None:
    # 50 is left out of the default lengths: there are 40 items.
    same = {"ks": [20, 10, 5], "block_size": 7}
    rows = [trial, changed(trial, "b", evaluation=same)]
    assert missing_trials(rows, parts=("test",)) == rows


def test_choosing_needs_a_validation_part(trial: Trial, parted: Path) -> None:
    parts = changed(trial, data={"dataset": str(parted)})
    assert missing_trials([parts], parts=("test",)) == [parts]
    for _ in range(2):  # before it is trained and afterwards
        with pytest.raises(ConfigError, match=r"needs a validation part .* give the data another"):
            missing_trials([parts], parts=("valid",))
        with pytest.raises(ConfigError, match=r"needs a validation part .* with --against, or"):
            missing_trials([parts], parts=("valid", "test"))
        train(parts)

"""Comparisons over seeds: resumable, honest about settings, right about the statistics."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_rel

from benchmarks.accuracy import compare
from benchmarks.accuracy.one import check_request
from mmgraph.config import resolve_recipe
from mmgraph.errors import ConfigError
from mmgraph.experiment import load_run

ONE_EPOCH = ["--set", "training.max_epochs=1", "--set", "model.embedding_dim=4", "--threads", "1"]
MODELS = ["--model", "lightgcn", "--model", "bpr_mf"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """Two models, two seeds, on the bundled data set."""
    out = tmp_path_factory.mktemp("comparison")
    return out, compare.main([*MODELS, "--seeds", "2", *ONE_EPOCH, "--out", str(out)])


def test_the_record_has_what_the_runs_measured(finished: tuple[Path, dict]) -> None:
    out, record = finished
    assert json.loads((out / "comparison.json").read_text()) == record
    assert [model["label"] for model in record["models"]] == ["lightgcn", "bpr_mf"]
    for model in record["models"]:
        for seed, value in zip(model["seeds"], model["test"]["ndcg@10"], strict=True):
            run = load_run(out / model["label"] / f"seed-{seed}")
            assert run.metrics["test"]["ndcg@10"] == value
    first, second = (load_run(out / "lightgcn" / f"seed-{s}").folder.facts() for s in (2026, 2027))
    assert first["split_hash"] == second["split_hash"]
    assert str(out) not in json.dumps(record)


def test_users_are_paired_after_averaging_over_seeds(finished: tuple[Path, dict]) -> None:
    out, record = finished
    values = {}
    for label in ("lightgcn", "bpr_mf"):
        tables = [
            pl.read_parquet(out / label / f"seed-{seed}" / "per_user.parquet")
            for seed in (2026, 2027)
        ]
        joined = tables[0].join(tables[1], on="user")
        values[label] = dict(
            zip(joined["user"], (joined["recall@20"] + joined["recall@20_right"]) / 2, strict=True)
        )
    users = sorted(values["bpr_mf"])
    mine, theirs = (np.array([values[label][u] for u in users]) for label in ("lightgcn", "bpr_mf"))
    (pair,) = record["paired"]
    assert pair["num_users"] == len(users)
    assert pair["difference"] == pytest.approx(float((mine - theirs).mean()))
    assert pair["p_value"] == pytest.approx(float(ttest_rel(mine, theirs).pvalue))
    assert pair["low"] < pair["difference"] < pair["high"]


def test_complete_runs_are_not_trained_again(
    finished: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out, record = finished
    monkeypatch.setattr(compare, "run_request", lambda request: pytest.fail("trained again"))
    again = compare.main([*MODELS, "--seeds", "2", *ONE_EPOCH, "--out", str(out)])
    assert again["models"] == record["models"]
    assert capsys.readouterr().out.count("complete") == 4


def test_runs_with_other_settings_are_refused(finished: tuple[Path, dict]) -> None:
    out, _ = finished
    changed = [*MODELS, "--seeds", "2", *ONE_EPOCH, "--set", "training.learning_rate=0.5"]
    with pytest.raises(ConfigError, match="other training"):
        compare.main([*changed, "--out", str(out)])


def test_a_run_apart_is_the_same_and_an_unknown_model_starts_nothing(
    finished: tuple[Path, dict], tmp_path: Path
) -> None:
    _, record = finished
    arguments = ["--model", "bpr_mf", "--seeds", "1", *ONE_EPOCH, "--jobs", "2"]
    apart = compare.main([*arguments, "--out", str(tmp_path)])
    assert apart["models"][0]["test"]["recall@20"][0] == pytest.approx(
        record["models"][1]["test"]["recall@20"][0], abs=1e-6
    )
    assert not list(tmp_path.rglob("*.request.json"))
    with pytest.raises(ConfigError, match="did you mean 'lightgcn'"):
        compare.main(["--model", "bpr_mf", "--model", "lightgcm", "--out", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


def test_an_interrupted_run_goes_on(finished: tuple[Path, dict], tmp_path: Path) -> None:
    options = compare.parse(
        ["--model", "bpr_mf", "--seeds", "1", *ONE_EPOCH, "--out", str(tmp_path)]
    )
    (request,) = compare.make_requests(options)["bpr_mf"]
    compare.main(["--model", "bpr_mf", "--seeds", "1", *ONE_EPOCH, "--out", str(tmp_path)])
    facts = load_run(request.run_path).folder.facts()
    facts["complete"] = False
    weights = (request.run_path / "model.safetensors").read_bytes()
    (request.run_path / "model.safetensors").unlink()
    (request.run_path / "run.json").write_text(json.dumps(facts))
    assert not compare.is_complete(request)
    compare.do_runs([request], jobs=1)
    assert (request.run_path / "model.safetensors").read_bytes() == weights


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    options = compare.parse(["--model", "bpr_mf", "--model", "a/bpr_mf", "--out", str(tmp_path)])
    with pytest.raises(ConfigError, match="twice"):
        compare.make_requests(options)


def test_the_note_is_the_recipe_that_training_resolves(tmp_path: Path) -> None:
    options = compare.parse(["--model", "bpr_mf", "--seeds", "1", "--out", str(tmp_path)])
    (request,) = compare.make_requests(options)["bpr_mf"]
    expected = resolve_recipe("bpr_mf", "movielens-small", seed=2026)
    assert check_request(request) == expected.model_dump(mode="json")


def test_one_value_has_no_spread() -> None:
    assert compare.spread([0.5]) == (0.5, None)
    average, deviation = compare.spread([1.0, 3.0])
    assert (average, deviation) == (2.0, pytest.approx(2**0.5))

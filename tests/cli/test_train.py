"""mmgraph train."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmgraph import experiment

Ask = Callable[..., Any]
ONE_EPOCH = ("--set", "training.max_epochs=1")
KEYS = {
    "model",
    "dataset",
    "seed",
    "epochs",
    "best_epoch",
    "valid",
    "test",
    "timings",
    "num_parameters",
    "memory",
    "sparse_backend",
    "run",
}


def test_json_is_the_summary_of_the_run(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", "bpr_mf", "--dataset", tiny, *ONE_EPOCH, "--seed", 7, "--out", out]
    answer = ask(*words, "--json")
    assert answer.code == 0
    assert set(answer.json) == KEYS
    assert (answer.json["model"], answer.json["seed"], answer.json["epochs"]) == ("bpr_mf", 7, 1)
    assert answer.json == experiment.load_run(out).summary
    assert answer.json["memory"]["total"] > answer.json["memory"]["parameters"] > 0
    (memory,) = [line for line in answer.err.splitlines() if line.startswith("memory ")]
    assert memory.startswith("memory ")
    assert "process " in memory or "parameters " in memory
    assert "training bpr_mf" in answer.err
    assert "epoch 1" in answer.err


def test_people_get_a_table_and_the_next_commands(
    ask: Ask, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = ask("train", "lightgcn", "--dataset", tiny, *ONE_EPOCH)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[1].split() == ["metric", *"valid @10 valid @20 test @10 test @20".split()]
    summary = experiment.load_run("runs/tiny/lightgcn-seed2026").summary
    recall = next(line for line in lines if line.startswith("recall")).split()
    assert recall[1] == f"{summary['valid']['recall@10']:.4f}"
    assert recall[4] == f"{summary['test']['recall@20']:.4f}"
    assert "mmgraph recommend runs/tiny/lightgcn-seed2026 --user u0" in answer.out


def test_quiet_and_threads(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    words = ["train", "bpr_mf", "--dataset", tiny, *ONE_EPOCH, "--out", tmp_path / "run"]
    answer = ask(*words, "--quiet", "--threads", 1)
    assert (answer.code, answer.err) == (0, "")
    assert torch.get_num_threads() == 1


def test_a_run_that_needs_more_than_allowed_is_refused(
    tiny: Path, tmp_path: Path, refused: Callable[[list[object], tuple[str, ...]], None]
) -> None:
    words = ["train", "bpr_mf", "--dataset", tiny, "--out", tmp_path / "out", "--max-memory"]
    refused([*words, "0.01MB"], ("must stay within --max-memory, 0.01 MB (it needs", "process "))
    refused([*words, "lots"], ("--max-memory must be a size in MB, GB or TB", "'lots'"))


def test_an_interrupted_run_says_how_to_go_on_and_does(
    ask: Ask, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("--set", "training.max_epochs=3", "--set", "training.checkpoint_seconds=0")
    whole, broken = tmp_path / "whole", tmp_path / "broken run"
    words = ["train", "lightgcn", "--dataset", tiny, *settings]
    assert ask(*words, "--out", whole).code == 0

    def stop(self: object, report: Any, *, epoch_s: float, eval_s: float | None) -> None:
        if report["epoch"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mmgraph.experiment.EpochLog.add", stop)
        answer = ask(*words, "--out", broken, "--json")
    assert (answer.code, answer.out) == (130, "")
    assert f"mmgraph train --resume '{broken}'" in answer.err.splitlines()[-1]
    answer = ask("train", "--resume", broken, "--json")
    assert answer.code == 0
    for name in ("model.safetensors", "metrics.json", "metrics.jsonl"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_resuming_a_complete_run_changes_nothing(ask: Ask, run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert ask("train", "--resume", run, "--json").json["run"] == str(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_same_settings_may_be_repeated_on_resume(ask: Ask, run: Path) -> None:
    source = json.loads((run / "run.json").read_text())["dataset"]
    assert source == "tiny"
    words = ["train", "lightgcn", "--resume", run, "--out", run]
    words += ["--device", "cpu", "--set", "data.split={method='ratio'}"]
    assert ask(*words, "--set", "training.max_epochs=2", "--seed", 2026).code == 0


def test_words_for_the_reader_may_change_before_a_resume(
    ask: Ask, run: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    words = '[ablations.deep]\n"model.num_layers" = 5\n[published]\nrecall = 0.5\n'
    recipe.write_text((run / "recipe.toml").read_text() + words)
    assert ask("train", recipe, "--resume", run).code == 0
    recipe.write_text(recipe.read_text().replace("max_epochs = 2", "max_epochs = 9"))
    answer = ask("train", recipe, "--resume", run)
    assert answer.code == 2
    assert "training.max_epochs is 2" in answer.err


def test_a_split_of_the_recipe_is_compared_as_a_whole(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    """A key that is left out of the split has its default, which is not what the run has."""
    out, seed = tmp_path / "run", "data.split={method='ratio',seed=77}"
    words = ["train", "bpr_mf", "--dataset", tiny, *ONE_EPOCH, "--set", seed]
    assert ask(*words, "--out", out).code == 0
    assert ask("train", "--resume", out).code == 0
    assert ask("train", "--resume", out, "--set", seed).code == 0
    answer = ask("train", "--resume", out, "--set", "data.split={method='ratio'}")
    assert answer.code == 2
    assert "data.split.seed is 77 there (got 2026)" in answer.err


def test_an_unknown_device_is_refused(
    tiny: Path, tmp_path: Path, refused: Callable[[list[object], tuple[str, ...]], None]
) -> None:
    words = ["train", "bpr_mf", "--dataset", tiny, "--out", tmp_path / "out", "--device", "abacus"]
    refused([*words], ("--device must be usable here (got 'abacus'",))


def test_a_run_that_is_being_trained_is_refused(ask: Ask, run: Path) -> None:
    from mmgraph.export import RunFolder

    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "complete": False}))
    with RunFolder(run).training():
        answer = ask("train", "--resume", run, "--quiet")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert f"{run}: a run is trained by one process at a time" in answer.err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["mm_gef"], "model.name is 'lightgcn'"),
        (["--seed", "3"], "seed is 2026"),
        (["--set", "training.max_epochs=5"], "training.max_epochs is 2"),
        (["--out", "elsewhere"], "leave --out out"),
        (
            ["--set", "data.split={method='ratio',seed=77}"],
            "data.split.seed is 2026 there (got 77)",
        ),
        (["--set", "data.split={method='temporal'}"], "data.split.method is 'ratio' there"),
        (["--set", "data.modalities=[]"], "data.modalities is None there (got [])"),
        (["--device", "abacus"], "begun on, 'cpu' (got --device abacus); leave --device out"),
        (["--device", "cuda:7"], "begun on, 'cpu' (got --device cuda:7); leave --device out"),
    ],
    ids=[
        "model",
        "seed",
        "set",
        "out",
        "seed of the split",
        "split",
        "modalities",
        "no device",
        "gpu",
    ],
)
def test_other_settings_are_refused_on_resume(
    ask: Ask, run: Path, words: list[str], part: str
) -> None:
    answer = ask("train", *words, "--resume", run)
    assert (answer.code, answer.out) == (2, "")
    assert part in answer.err
    assert answer.err.count("\n") == 1


def test_a_run_that_fails_is_exit_code_1(ask: Ask, tiny: Path, tmp_path: Path) -> None:
    words = ["train", "bpr_mf", "--dataset", tiny, "--set", "training.learning_rate=1e38"]
    answer = ask(*words, "--set", "training.max_epochs=5", "--out", tmp_path / "run", "--quiet")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error: ")
    assert "must stay finite" in answer.err or "must be a number" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("form", ["profile", "neighbours"])
def test_a_model_that_is_not_trained_goes_the_whole_way(
    ask: Ask, tiny: Path, tmp_path: Path, form: str
) -> None:
    run = tmp_path / "run"
    words = ["train", "cb", "--dataset", tiny, "--out", run, "--set", f"model.form={form}"]
    answer = ask(*words)
    assert answer.code == 0
    assert "nothing to train" in answer.out
    assert "validating cb" in answer.err
    facts = ask("train", "--resume", run, "--json").json
    assert (facts["epochs"], facts["best_epoch"], facts["num_parameters"]) == (0, 0, 0)
    assert facts["valid"]["recall@20"] > 0
    assert facts["memory"]["gradients"] == facts["memory"]["activations"] == 0
    assert facts["timings"]["epoch_s_median"] is None
    assert (run / "metrics.jsonl").read_text() == ""
    assert (run / "embeddings.safetensors").is_file() == (form == "profile")
    assert ask("evaluate", run, "--json").json["equals_stored"] is True
    assert (
        len(ask("recommend", run, "--user", "u3", "-k", "2", "--json").json["recommendations"]) == 2
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--device", "cuda:99"], "--device must be usable here (got 'cuda:99'"),
        (["--out", "/proc/run"], "/proc/run: must be a place that can be written"),
    ],
    ids=["device", "place"],
)
def test_machine_and_place_are_checked_before_the_data(
    ask: Ask, tmp_path: Path, words: list[str], told: str
) -> None:
    answer = ask("train", "lightgcn", "--dataset", tmp_path / "gone", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {told}")
    assert answer.err.count("\n") == 1

"""mmgraph compare."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., Any]
Refused = Callable[[list[object], tuple[str, ...]], None]
QUICK = ("--set", "training.max_epochs=1", "--set", "model.embedding_dim=4")


def test_a_table_for_people_and_one_object_for_programs(
    ask: Ask, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    words = ["compare", "bpr_mf", "lightgcn", "--dataset", tiny, "--seeds", 2, *QUICK, "--out", out]
    answer = ask(*words)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "tiny: test part, 2 seeds, mean ± standard deviation"
    assert lines[1].split()[:3] == ["model", "recall@10", "recall@20"]
    assert [line.split()[0] for line in lines[3:5]] == ["bpr_mf", "lightgcn"]
    assert "bpr_mf: defaults of bpr_mf with training.max_epochs = 1" in answer.out
    assert f"Written: {out / 'comparison.json'}" in answer.out
    assert "4/4  lightgcn, seed 2027: 1 epochs" in answer.err
    assert "which has the best mean recall@20 on the validation part." in answer.out
    again = ask(*words, "--json", "--against", "bpr_mf", "--metric", "ndcg@10")
    assert again.code == 0
    assert "4 runs, 4 of them complete" in again.err
    assert (again.json["against"], again.json["metric"]) == ("bpr_mf", "ndcg@10")
    files = again.json["files"]
    stored = json.loads((out / "comparison.json").read_text())
    assert {**stored, "files": files} == again.json
    assert all(Path(file).is_file() for file in files)


def test_jobs_train_in_processes_and_quiet_says_nothing(
    ask: Ask, tiny: Path, tmp_path: Path
) -> None:
    words = ["compare", "bpr_mf", "--dataset", tiny, "--seeds", 2, *QUICK, "-q", "--json"]
    apart = ask(*words, "--jobs", 2, "--out", tmp_path / "apart")
    assert (apart.code, apart.err) == (0, "")
    here = ask(*words, "--threads", 1, "--out", tmp_path / "here")
    assert apart.json["rows"][0]["test"] == here.json["rows"][0]["test"]


def test_a_failed_run_is_exit_code_1_with_the_table_of_the_others(
    ask: Ask, tiny: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('[model]\nname = "bpr_mf"\n[training]\nlearning_rate = 1e38\nmax_epochs = 5\n')
    words = ["compare", bad, "bpr_mf", "--dataset", tiny, "--seeds", 1]
    answer = ask(*words, "--out", tmp_path / "study", "-q", "--set", "model.embedding_dim=4")
    assert answer.code == 1
    assert "bpr_mf" in answer.out
    assert answer.err.startswith("failed: bad, seed 2026: ")
    assert answer.err.count("\n") == 1
    answer = ask("compare", bad, "--dataset", tiny, "--seeds", 1, "--out", tmp_path / "other", "-q")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error: nothing can be compared")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["lightgnc"], ("lightgnc", "did you mean 'lightgcn'")),
        (["bpr_mf", "bpr_mf"], ("labels must differ", "'bpr_mf'")),
        (["bpr_mf", "--against", "bpr"], ("--against", "'bpr'", "bpr_mf")),
        (["bpr_mf", "--metric", "recall@7"], ("--metric", "recall@7", "recall@10")),
        (["bpr_mf", "--seeds", "0"], ("--seeds must be at least 1", "0")),
        (["bpr_mf", "--first-seed", "-1"], ("--first-seed", "-1")),
        (["bpr_mf", "--jobs", "0"], ("--jobs must be at least 1", "0")),
        (["bpr_mf", "--threads", "0"], ("--threads must be at least 1", "0")),
        (["bpr_mf", "--set", "model.layers=1"], ("unknown key 'model.layers'",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(
    refused: Refused, tiny: Path, tmp_path: Path, words: list[object], parts: tuple[str, ...]
) -> None:
    refused(["compare", *words, "--dataset", tiny, "--out", tmp_path / "out"], parts)


def test_places_that_cannot_be_written(refused: Refused, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    words: list[object] = ["compare", "bpr_mf", "--dataset", tiny, "--out", tmp_path / "file"]
    refused(words, ("file", "--out"))
    refused([*words[:-1], tmp_path / "file" / "deep"], ("file", "--out"))


def test_a_missing_data_set(refused: Refused, tmp_path: Path) -> None:
    words: list[object] = ["compare", "bpr_mf", "--out", tmp_path / "out"]
    refused(words, ("--dataset",))
    refused([*words, "--dataset", tmp_path / "nowhere"], ("nowhere",))


def test_an_interrupted_study_goes_on(
    ask: Ask, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["compare", "bpr_mf", "lightgcn", "--dataset", tiny, "--seeds", 1, *QUICK]
    words += ["--out", tmp_path / "study", "--json"]
    from mmgraph.study import trial

    train = trial.train

    def interrupted(values: dict[str, Any], **more: Any) -> object:
        if values["model"]["name"] == "lightgcn":
            raise KeyboardInterrupt
        return train(values, **more)

    with monkeypatch.context() as patch:
        patch.setattr(trial, "train", interrupted)
        answer = ask(*words)
    assert (answer.code, answer.out) == (130, "")
    assert answer.err.splitlines()[-1] == "interrupted; the same command goes on where it stopped"
    answer = ask(*words)
    assert answer.code == 0
    assert "2 runs, 1 of them complete" in answer.err

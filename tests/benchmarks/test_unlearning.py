"""The table of unlearning next to training anew."""

from pathlib import Path

import pytest

from benchmarks.unlearning import draw_request, main, table
from mmgraph.errors import ConfigError
from mmgraph.experiment import load_run

QUICK = ["--set", "training.max_epochs=2", "graph.k=3", "model.embedding_dim=4"]


def test_a_share_of_each_kind_is_unlearned_and_only_read_again(
    small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--dataset", str(small_folder), "--out", str(tmp_path), "--seeds", "1", *QUICK]
    words += ["--unlearn", "max_epochs=1", "--kinds", "users", "interactions", "--share", "0.1"]
    main(words)
    first = capsys.readouterr().out
    assert "| users | test recall@20 |" in first
    assert "| interactions | membership_auc |" in first
    assert "| interactions | seconds, " in first
    runs = tmp_path / small_folder.name / "seed-2026"
    assert load_run(runs / "users").dataset.num_users == 27
    assert load_run(runs / "original").dataset.num_users == 30
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    main(words)
    again = capsys.readouterr().out
    assert again == first[first.index("##") :]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == before
    run = load_run(runs / "original")
    assert draw_request(run, "users", 0.1, 5) == draw_request(run, "users", 0.1, 5)
    assert draw_request(run, "users", 0.1, 5) != draw_request(run, "users", 0.1, 6)


def test_a_row_says_which_is_nearer_and_in_how_many_seeds() -> None:
    def report(unlearned: float) -> dict[str, object]:
        gaps = {
            "original": 0.4,
            "unlearned": abs(unlearned - 0.5),
            "closer": abs(unlearned - 0.5) < 0.4,
        }
        return {
            "distance": {"auc": gaps},
            "figures": {
                "original": {"auc": 0.9},
                "unlearned": {"auc": unlearned},
                "gold": {"auc": 0.5},
            },
            "seconds": {"unlearned": 2.0, "gold": 5.0, "speedup": 2.5},
        }

    lines = table({"users": [report(0.6), report(1.0)]}, title="t")
    row = "| users | auc | 0.9000 ± 0.0000 | 0.8000 ± 0.2828 | 0.5000 ± 0.0000 | yes | 1 of 2 |"
    assert row in lines
    assert "| users | seconds, 2.5 ± 0.0 times | - | 2.0 ± 0.0 | 5.0 ± 0.0 | - | - |" in lines


@pytest.mark.parametrize("share", ["0", "1", "-0.5"])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: str) -> None:
    with pytest.raises(ConfigError, match="--share must be"):
        main(["--out", str(tmp_path), "--share", share])

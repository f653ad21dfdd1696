"""The table of unlearning next to training anew."""

import json
import shutil
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
    assert "| interactions | time, " in first
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


@pytest.fixture(scope="module")
def measured(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of one request; not to be changed."""
    out = tmp_path_factory.mktemp("measured")
    main(words_of(small_folder, out))
    return out


def words_of(dataset: Path, out: Path, **changes: list[str]) -> list[str]:
    options = {
        "--recipe": ["lightgcn"],
        "--set": QUICK[1:],
        "--unlearn": ["max_epochs=1"],
        "--share": ["0.1"],
    }
    options |= {f"--{name}": values for name, values in changes.items()}
    words = ["--dataset", str(dataset), "--out", str(out), "--seeds", "1", "--kinds", "users"]
    return words + [word for name, values in options.items() for word in (name, *values)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recipe": ["bpr_mf"]}, "original: must be a run of the recipe.*model.name is 'lightgcn'"),
        ({"set": [*QUICK[1:], "model.num_layers=1"]}, "original: .*model.num_layers is 3 there"),
        ({"share": ["0.2"]}, r"users\.json: must be a report of .*\(share is 0.1 there, 0.2 is"),
        ({"unlearn": ["max_epochs=2"]}, r"users\.json: .*\(max_epochs is 1 there, 2 is asked for"),
        ({"unlearn": ["max_epochs=1", "mix=0.5"]}, r"users\.json: .*\(mix is 0.01 there, 0.5"),
    ],
)
def test_results_of_other_settings_are_refused(
    small_folder: Path, measured: Path, changes: dict[str, list[str]], told: str
) -> None:
    before = {path: path.read_bytes() for path in measured.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=told) as caught:
        main(words_of(small_folder, measured, **changes))
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in measured.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("key", ["share", "request_sha256", "run_sha256"])
def test_a_report_of_another_run_or_request_is_refused(
    small_folder: Path, measured: Path, tmp_path: Path, key: str
) -> None:
    out = Path(shutil.copytree(measured, tmp_path / "copy"))
    path = out / small_folder.name / "seed-2026" / "users.json"
    report = json.loads(path.read_text())
    report["made_of"][key] = "other"
    path.write_text(json.dumps(report))
    with pytest.raises(ConfigError, match=rf"users\.json: .*\({key} is 'other' there"):
        main(words_of(small_folder, out))
    del report["made_of"]  # as before it was kept
    path.write_text(json.dumps(report))
    with pytest.raises(ConfigError, match=r"users\.json: .*is not told there"):
        main(words_of(small_folder, out))


def test_a_figure_that_some_seeds_lack_is_that_of_the_others() -> None:
    def report(*names: str) -> dict[str, object]:
        gaps = {"original": 0.4, "unlearned": 0.1, "closer": True}
        figures = dict.fromkeys(names, 0.5)
        rows = dict.fromkeys(("original", "unlearned", "gold"), figures)
        seconds = {"unlearned": 2.0, "gold": 5.0, "speedup": 2.5}
        return {"distance": dict.fromkeys(names, gaps), "figures": rows, "seconds": seconds}

    for members in ([report("a"), report("a", "b")], [report("a", "b"), report("a")]):
        lines = table({"users": members}, title="t")
        assert (
            "| users | a | 0.5000 ± 0.0000 | 0.5000 ± 0.0000 | 0.5000 ± 0.0000 | yes | 2 of 2 |"
            in lines
        )
        assert "| users | b | 0.5000 | 0.5000 | 0.5000 | yes | 1 of 1 |" in lines


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
    assert "| users | time, 2.5 times | - | 2.0 s | 5.0 s | - | - |" in lines


@pytest.mark.parametrize("share", ["0", "1", "-0.5"])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: str) -> None:
    with pytest.raises(ConfigError, match="--share must be"):
        main(["--out", str(tmp_path), "--share", share])

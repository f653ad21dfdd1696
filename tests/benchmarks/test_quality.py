"""The page of quality tells what failed, who lacks seeds, and the command that was given."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from benchmarks import quality
from mmgraph import study


def row(label: str, *seeds: int, **more: Any) -> dict[str, Any]:
    return {
        "label": label,
        "source": f"small/{label}",
        "changes": {"training.max_epochs": 9},
        "seeds": [*seeds],
        "test": {"recall@20": [0.25 for _ in seeds]},
        "epochs": [4 for _ in seeds],
        "epoch_s_median": 0.5,
        "num_parameters": 1234,
        "recipe": {"evaluation": {}},
        **more,
    }


RECORD: dict[str, Any] = {
    "study": "compare",
    "dataset": "small",
    "seeds": [2026, 2027],
    "failed": [],
    "metric": "recall@20",
    "metrics": ["recall@20"],
    "best": "lightgcn",
    "against": "lightgcn",
    "rows": [row("lightgcn", 2026, 2027), row("mm_gef", 2026, 2027)],
    "tests": [],
}
TEST = {
    "metric": "recall@20",
    "label": "mm_gef",
    "against": "lightgcn",
    "num_users": 9,
    "difference": -0.1,
    "low": -0.2,
    "high": -0.05,
    "p_value": 0.0,
    "p_holm": 0.0,
}


def page(**changes: Any) -> str:
    return quality.page([quality.Study("found", {**RECORD, **changes})])


def test_failures_and_rows_that_lack_seeds_are_told() -> None:
    failed = [{"label": "vbpr", "seed": 2027, "message": "the loss must stay <finite>\nlower it"}]
    text = page(rows=[*RECORD["rows"], row("vbpr", 2026)], failed=failed)
    assert "\nvbpr, seed 2027, failed: the loss must stay \\<finite> lower it\n" in text
    assert "| vbpr (1 of 2 seeds) | 0.2500 |" in text
    assert "| mm_gef | 0.2500" in text
    whole = page()
    assert "failed" not in whole
    assert "of 2 seeds" not in whole


def test_tests_say_who_chose_and_no_p_is_zero() -> None:
    text = page(tests=[TEST], against_by="validation", environment_differs={"threads": [1, 2]})
    assert "| -0.1000 [-0.2000, -0.0500] | <1e-300 |" in text
    assert (
        "Tested against lightgcn, which has the best mean recall@20 on the validation part." in text
    )
    assert "not all made with the same: threads 1 and 2." in text
    assert "the 95 % intervals are not" in text
    assert "Tested against" not in page(tests=[TEST], against_by="name")
    assert "Tested against" not in page(tests=[TEST])


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        (
            {
                "options": {
                    "recipes": ["my recipes/mine.toml", "mm_gef"],
                    "set": ["training.max_epochs=9", 'model.name = "x y"'],
                    "against": "mm_gef",
                    "metric": "ndcg@10",
                },
                "seeds": [3],
            },
            "compare mine.toml mm_gef --dataset small --seeds 1 --first-seed 3 "
            "--set training.max_epochs=9 --set 'model.name = \"x y\"' --against mm_gef --metric ndcg@10",
        ),
        (
            {
                "study": "ablate",
                "recipe": "mine",
                "options": {
                    "recipe": "mine.toml",
                    "set": [],
                    "only": ["w/o a", "b"],
                    "by_modality": True,
                    "metric": "recall@20",
                },
            },
            "ablate mine.toml --dataset small --seeds 2 --only 'w/o a' --only b --by-modality",
        ),
        (
            {
                "study": "sweep",
                "recipe": "mine",
                "grid": {"model.k": [1, 2.5], "model.form": ["a", "b"]},
                "options": {"recipe": "mine", "set": ["graph.k=3"], "trials": 7},
            },
            "sweep mine --grid model.k=1,2.5 --grid model.form=a,b --dataset small --seeds 2 "
            "--trials 7 --set graph.k=3",
        ),
        # A study of before does not tell its options: its rows do, as far as they can.
        (
            {"against": "mm_gef", "seeds": [5, 6]},
            "compare lightgcn mm_gef --dataset small --seeds 2 --first-seed 5 "
            "--set training.max_epochs=9 --against mm_gef",
        ),
    ],
    ids=["compare", "ablate", "sweep", "of before"],
)
def test_the_command_is_the_one_that_was_given(changes: dict[str, Any], command: str) -> None:
    assert quality.command_of({**RECORD, **changes}) == f"mmgraph {command}"


def test_what_a_study_writes_has_all_that_its_command_needs(
    small_folder: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        '[model]\nname = "cb"\n[ablations.neighbours]\n"model.form" = "neighbours"\n'
        '[ablations.shrunk]\n"model.shrink" = 9.0\n'
    )
    words: Any = {"seeds": 1, "first_seed": 4, "overrides": ["model.shrink=0.5"]}
    words |= {"only": ["neighbours"], "metric": "ndcg@10", "out": tmp_path}
    study.ablate(recipe, str(small_folder), **words)
    record = json.loads((tmp_path / "ablation.json").read_text())
    told = shlex.split(quality.command_of(record))
    assert told == [
        *("mmgraph", "ablate", "mine.toml", "--dataset", "small", "--seeds", "1"),
        *("--first-seed", "4", "--only", "neighbours", "--set", "model.shrink=0.5"),
        *("--metric", "ndcg@10"),
    ]
    assert "| neighbours |" in quality.page([quality.Study("found", record)])

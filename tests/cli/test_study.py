"""What the commands of studies share."""

import io

import pytest
import typer
from rich.console import Console

from mmgraph.cli.study import (
    cost_columns,
    differing_runs,
    end_of,
    metric_columns,
    p_value,
    place_of,
    print_columns,
    print_sources,
    print_tested,
    spread,
    studying,
)
from mmgraph.errors import ConfigError

ROW = {
    "label": "full",
    "source": "mine.toml",
    "changes": {"model.k": 3},
    "seeds": [1, 2],
    "test": {"recall@20": [0.1, 0.3]},
    "epochs": [4, 8],
    "seconds": [61.0, 63.0],
    "num_parameters": 1234,
}
OTHER = {**ROW, "label": "w/o [x]", "changes": {}, "test": {"recall@20": [0.5, 0.5]}}
TEST = {
    "metric": "recall@20",
    "label": "w/o [x]",
    "against": "full",
    "num_users": 1000,
    "difference": 0.3,
    "low": 0.2,
    "high": 0.4,
    "p_value": 0.001,
    "p_holm": 0.002,
}
RECORD = {
    "dataset": "shop",
    "metric": "recall@20",
    "metrics": ["recall@20"],
    "against": "full",
    "seeds": [1, 2],
    "rows": [ROW, OTHER],
    "tests": [TEST, {**TEST, "metric": "ndcg@20", "difference": 9.0}],
    "failed": [],
}


def printed(width: int = 200, *, terminal: bool = False) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=width, force_terminal=terminal, color_system=None), stream


def test_columns_tell_mean_spread_and_cost() -> None:
    assert spread([0.1, 0.3]) == "0.2000 ± 0.1414"
    assert spread([0.25]) == "0.2500"
    assert metric_columns([ROW], "test", ["recall@20"]) == [("recall@20", ["0.2000 ± 0.1414"])]
    assert cost_columns([ROW]) == [
        ("epochs", ["6"]),
        ("parameters", ["1,234"]),
        ("time", ["1 min 2 s"]),
    ]


def test_a_narrow_terminal_gets_several_tables_with_whole_numbers() -> None:
    columns = [(f"column {n}", [f"{n}.123456789"]) for n in range(6)]
    console, stream = printed(45, terminal=True)
    print_columns(console, "title", ("label", ["first"]), columns)
    text = stream.getvalue()
    assert text.count("title") == text.count("first") == 3
    assert all(cells[0] in text for _, cells in columns)
    assert max(map(len, text.splitlines())) <= 45
    console, stream = printed(45)
    print_columns(console, "title", ("label", ["first"]), columns)
    assert stream.getvalue().count("title") == 1  # a file has no width


def test_the_table_has_the_tests_of_its_metric() -> None:
    console, stream = printed()
    print_tested(console, RECORD, head="mine")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "shop: test part, 2 seeds, mean ± standard deviation"
    assert lines[1].split()[-4:] == ["-", "full", "p", "(Holm)"]
    assert lines[3].split()[0] == "full"
    assert lines[3].split()[-2:] == ["-", "-"]
    other = lines[4]
    assert other.startswith("w/o [x]")
    assert "+0.3000 [+0.2000, +0.4000]" in other
    assert other.endswith("0.002")
    assert "9.0" not in stream.getvalue()
    assert "over 1,000 users" in stream.getvalue()


def test_the_caption_says_what_is_corrected_and_who_chose_the_reference() -> None:
    console, stream = printed()
    print_tested(console, RECORD, head="mine")
    assert "p-values are corrected for the number of rows tested, the intervals are not" in (
        stream.getvalue()
    )
    assert "Tested against" not in stream.getvalue()  # it was named
    console, stream = printed()
    print_tested(console, {**RECORD, "against_by": "validation"}, head="mine")
    assert stream.getvalue().splitlines()[-1] == (
        "Tested against full, which has the best mean recall@20 on the validation part."
    )


def test_a_row_that_lacks_seeds_says_so() -> None:
    console, stream = printed()
    lacking = {**OTHER, "seeds": [2], "test": {"recall@20": [0.5]}}
    print_tested(console, {**RECORD, "rows": [ROW, lacking], "tests": []}, head="mine")
    lines = stream.getvalue().splitlines()
    assert lines[3].startswith("full   ")
    assert lines[4].startswith("w/o [x] (1 of 2 seeds)  ")


def test_what_the_runs_differ_in_is_said() -> None:
    console, stream = printed()
    differs = {"threads": [1, 2], "packages.torch": ["2.13.0", None]}
    print_tested(console, {**RECORD, "environment_differs": differs}, head="mine")
    assert stream.getvalue().splitlines()[-1] == (
        "The runs were not all made with the same: threads 1 and 2; packages.torch 2.13.0 and None."
    )
    assert list(differing_runs({"environment_differs": {}})) == []
    assert list(differing_runs({})) == []  # a record of before


def test_no_p_value_is_zero() -> None:
    assert p_value({"p_holm": 0.0}) == "<1e-300"
    assert p_value({"p_holm": 1e-320}) == "<1e-300"
    assert p_value({"p_holm": 2e-300}) == "2e-300"


def test_without_a_test_there_is_a_dash() -> None:
    console, stream = printed()
    untested = {**TEST, "low": None, "high": None, "p_value": None, "p_holm": None}
    print_tested(console, {**RECORD, "tests": [untested]}, head="mine")
    assert stream.getvalue().splitlines()[4].split()[-2:] == ["+0.3000", "-"]
    console, stream = printed()
    print_tested(console, {**RECORD, "rows": [ROW], "tests": []}, head="mine")
    assert "Holm" not in stream.getvalue()


def test_sources_are_told() -> None:
    console, stream = printed()
    print_sources(console, [ROW, {**OTHER, "seeds": [7]}])
    assert stream.getvalue().splitlines() == [
        "full: mine.toml with model.k = 3, 2 seeds",
        "w/o [x]: mine.toml, seed 7",
    ]


def test_failures_are_told_and_end_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    end_of(RECORD)
    failed = {"label": "full", "seed": 2, "message": "the loss must stay finite"}
    with pytest.raises(typer.Exit) as caught:
        end_of({**RECORD, "failed": [failed]})
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err == "failed: full, seed 2: the loss must stay finite\n"


def test_an_interrupt_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, studying(quiet=True):
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on where it stopped\n"


@pytest.mark.parametrize(
    ("jobs", "threads", "device", "part"),
    [
        (0, None, "cpu", "--jobs must be at least 1"),
        (1, 0, "cpu", "--threads must be at least 1"),
        (1, None, "abacus", "--device must be usable here"),
    ],
)
def test_places_that_are_none(jobs: int, threads: int | None, device: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        place_of(jobs=jobs, threads=threads, device=device, cache=None)

"""Pictures of studies: what is drawn where, on which axis."""

import xml.etree.ElementTree as ElementTree

import pytest

from mmgraph.report import render
from mmgraph.report.study import (
    draw_rows,
    draw_sweep,
    draw_tested,
    point_label,
    row_name,
    short_keys,
    spans_decades,
)


def test_rows_stand_in_their_order_with_mean_spread_and_seeds() -> None:
    values = {"first": [0.1, 0.3], "a long label that nobody could read in a picture": [0.5]}
    with draw_rows(values, metric="test recall@20", reference="first") as figure:
        (axes,) = figure.axes
        names = [text.get_text() for text in axes.get_yticklabels()]
        assert names == ["first", "a long label that nobody could read in…"]
        assert axes.get_xlabel() == "test recall@20"
        low, high = axes.get_ylim()
        assert low > high  # the first row is at the top
        means = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
        assert pytest.approx(0.2) in means
        (bar,) = [c for c in axes.collections if len(c.get_segments()) == 1][:1]
        (ends,) = bar.get_segments()
        assert sorted(ends[:, 0]) == pytest.approx([0.2 - 0.141421, 0.2 + 0.141421], abs=1e-5)
        assert ElementTree.fromstring(render(figure)[".svg"]).tag.endswith("svg")


def test_a_row_far_below_the_reference_has_no_place_on_the_axis() -> None:
    values = {"far": [0.07, 0.071], "ref": [0.26, 0.28], "half": [0.135, 0.135], "top": [0.3, 0.3]}
    with draw_rows(values, metric="test recall@20", reference="ref") as figure:
        (axes,) = figure.axes
        figure.canvas.draw()
        low, high = axes.get_xlim()
        assert 0.071 < low < 0.135
        assert high > 0.3
        assert [text.get_text() for text in axes.get_yticklabels()] == [*values]
        (named,) = axes.texts
        assert named.get_text() == "◂ 0.0705, outside"
        assert named.get_position()[1] == 0  # in its own row
    with draw_rows(values, metric="test recall@20") as figure:  # nobody to be far from
        assert figure.axes[0].get_xlim()[0] < 0.07
        assert not figure.axes[0].texts


@pytest.mark.parametrize(
    ("values", "reference", "texts"),
    [
        (
            {"a": [0.1, 0.3], "b": [0.2]},
            "b",
            ["a seed", "mean ± standard deviation over seeds", "b, the reference", "its mean"],
        ),
        ({"a": [0.1], "b": [0.2]}, None, ["a seed", "mean"]),
        ({"far": [0.01], "b": [0.2]}, "b", ["a seed", "b, the reference", "its mean"]),
    ],
)
def test_the_legend_says_what_the_marks_mean(
    values: dict[str, list[float]], reference: str | None, texts: list[str]
) -> None:
    with draw_rows(values, metric="test recall@20", reference=reference) as figure:
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == texts


def test_rows_of_a_study_that_lack_seeds_are_marked() -> None:
    whole = {"label": "lightgcn", "seeds": [1, 2], "test": {"recall@20": [0.1, 0.3]}}
    lacking = {"label": "mine", "seeds": [2], "test": {"recall@20": [0.25]}}
    record = {"metric": "recall@20", "seeds": [1, 2], "against": "lightgcn"}
    assert row_name(whole, [1, 2]) == "lightgcn"
    with draw_tested({**record, "rows": [whole, lacking]}) as figure:
        (axes,) = figure.axes
        names = [text.get_text() for text in axes.get_yticklabels()]
        assert names == ["lightgcn", "mine (1 of 2 seeds)"]
        assert axes.get_xlabel() == "test recall@20"
        (legend,) = figure.legends
        assert legend.get_texts()[2].get_text() == "lightgcn, the reference"


@pytest.mark.parametrize(
    ("values", "scale", "ticks"),
    [
        ([10, 0.1, 1], "log", ["0.1", "1", "10"]),
        ([3, 1, 2], "linear", ["1", "2", "3"]),
        ([0.50, 0.51, 0.9], "linear", None),
        ([0, 0.1, 100], "linear", ["0", "0.1", "100"]),
        (["mean", "max"], "linear", ["mean", "max"]),
        ([False, True], "linear", ["False", "True"]),
    ],
    ids=["decades", "near", "too near to write", "zero and decades", "words", "switch"],
)
def test_one_key_is_a_curve_over_its_values(
    values: list[object], scale: str, ticks: list[str] | None
) -> None:
    points = [{"model.tau": value} for value in values]
    seeds = [[0.1 * n, 0.1 * n + 0.02] for n in range(1, len(values) + 1)]
    with draw_sweep(points, seeds, metric="valid recall@20", best=1) as figure:
        (axes,) = figure.axes
        assert axes.get_xscale() == scale
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("model.tau", "valid recall@20")
        if ticks is not None:
            assert [text.get_text() for text in axes.get_xticklabels()] == ticks
        chosen = axes.lines[-1]
        assert list(chosen.get_ydata()) == pytest.approx([0.21])
        assert render(figure)


def test_two_keys_are_a_map_with_gaps_where_nothing_was_tried() -> None:
    points = [{"a.k": 10, "b.k": "x"}, {"a.k": 5, "b.k": "x"}, {"a.k": 10, "b.k": "y"}]
    with draw_sweep(points, [[0.3], [0.1], [0.2]], metric="valid", best=0) as figure:
        axes, scale = figure.axes
        (image,) = axes.images
        table = image.get_array()
        assert table.shape == (2, 2)
        assert [float(table[0, 0]), float(table[0, 1]), float(table[1, 1])] == [0.1, 0.3, 0.2]
        assert table.mask[1, 0]
        assert [text.get_text() for text in axes.get_xticklabels()] == ["5", "10"]
        assert sorted(text.get_text() for text in axes.texts) == [".1000", ".2000", ".3000"]
        assert scale.get_ylabel() == "valid"
        assert render(figure)


def test_more_keys_are_rows_with_the_best_first() -> None:
    points = [{"a": 1, "b": 2, "c": n} for n in range(3)]
    with draw_sweep(points, [[0.1], [0.3], [0.2]], metric="valid", best=1) as figure:
        (axes,) = figure.axes
        names = [text.get_text() for text in axes.get_yticklabels()]
        assert names == ["a=1, b=2, c=1", "a=1, b=2, c=2", "a=1, b=2, c=0"]
        (legend,) = figure.legends
        assert legend.get_texts()[2].get_text() == "a=1, b=2, c=1, chosen"


def test_keys_are_short_where_they_stay_different() -> None:
    assert short_keys(["model.k", "model.tau"]) == ["k", "tau"]
    assert point_label({"model.k": 1, "graph.k": 2}) == "model.k=1, graph.k=2"
    # Values that are near each other stay apart.
    assert point_label({"a": 0.12345678}) != point_label({"a": 0.12345679})


def test_decades() -> None:
    assert spans_decades([1e-4, 1e-3, 1e-2])
    assert not spans_decades([5, 10, 20])
    assert not spans_decades([-1, 100])
    assert not spans_decades([])
    assert not spans_decades(["a"])

"""Grids: how they are read, what they may hold, which settings they make."""

import json
from typing import Any

import numpy as np
import pytest

from mmgraph.errors import ConfigError
from mmgraph.study.grid import check_grid, grid_points, grid_size, parse_grid


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("model.tau=0.1,1,5", "model.tau", [0.1, 1, 5]),
        ("training.learning_rate = 1e-3 , 1e-2", "training.learning_rate", [0.001, 0.01]),
        ("model.fusion=mean,concat", "model.fusion", ["mean", "concat"]),
        ("model.fusion='mean','a,b'", "model.fusion", ["mean", "a,b"]),
        ("model.deep=true,false", "model.deep", [True, False]),
        ("model.x=none,3", "model.x", ["none", 3]),
        ("data.modalities=['text'],['text', 'image']", "data.modalities", [["text"], ["text", "image"]]),
        ("model.backbone={name='a'},{name='b'}", "model.backbone", [{"name": "a"}, {"name": "b"}]),
        ("model.k=5", "model.k", [5]),
        ("model.k=5,", "model.k", [5]),
    ],
)  # fmt: skip
def test_values_are_toml_or_plain_words(text: str, key: str, values: list[object]) -> None:
    assert parse_grid([text]) == {key: values}


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        ([], "needs a grid"),
        (["model.k"], "takes key=value,value"),
        (["=1,2"], "takes key=value,value"),
        (["model.k="], "at least one value"),
        (["model.k=,"], "at least one value"),
        (["model.k=1,2,1"], "must differ (got 1 twice)"),
        (["model.k=1", "model.k=2"], "a key once (got 'model.k' twice)"),
        (["data.modalities=[text]"], "put quotes"),
        (["seed=1,2"], "differ in seed cannot be compared"),
        (["evaluation.ks=[10],[20]"], "differ in evaluation cannot"),
        (["data.split.seed=1,2"], "differ in data.split cannot"),
        (["data.dataset=a,b"], "differ in data.dataset cannot"),
    ],
)
def test_grids_that_make_no_sense(texts: list[str], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_grid(texts)
    assert part in str(caught.value)


def test_a_table_of_values_is_checked_too() -> None:
    assert check_grid({"model.k": (1, 2)}) == {"model.k": [1, 2]}
    with pytest.raises(ConfigError, match="must differ"):
        check_grid({"model.k": [1, 1]})


@pytest.mark.parametrize(
    ("values", "plain"),
    [
        ([np.int64(2), np.int64(3)], [2, 3]),
        (np.array([0.1, 0.2]), [0.1, 0.2]),
        ([np.bool_(True), np.str_("x"), None], [True, "x", None]),
        ([[np.int64(5)], (np.float32(0.5),)], [[5], (0.5,)]),
        ([{"depth": np.int64(1)}, {"depth": 2}], [{"depth": 1}, {"depth": 2}]),
    ],
)
def test_values_of_numpy_become_those_of_a_recipe(values: Any, plain: list[object]) -> None:
    found = check_grid({"model.x": values})["model.x"]
    assert found == plain
    assert [type(value) for value in found] == [type(value) for value in plain]
    json.dumps(found)  # takes no numpy


def test_values_that_no_recipe_can_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--grid model.x: values must be numbers, .*got \{1\}"):
        check_grid({"model.x": [{1}]})


def test_all_settings_come_in_the_order_of_the_grid() -> None:
    grid = parse_grid(["a.x=2,1", "b=u,v"])
    assert grid_points(grid, trials=None, seed=0) == [
        {"a.x": 2, "b": "u"},
        {"a.x": 2, "b": "v"},
        {"a.x": 1, "b": "u"},
        {"a.x": 1, "b": "v"},
    ]


def test_a_random_part_follows_from_the_seed() -> None:
    grid = {"a": list(range(10)), "b": list(range(10))}
    whole = grid_points(grid, trials=None, seed=0)
    part = grid_points(grid, trials=12, seed=0)
    assert len(part) == 12
    assert [whole.index(point) for point in part] == sorted(whole.index(point) for point in part)
    assert grid_points(grid, trials=12, seed=0) == part
    assert grid_points(grid, trials=12, seed=np.int64(0)) == part  # type: ignore[arg-type]
    assert grid_points(grid, trials=12, seed=1) != part
    assert grid_points(grid, trials=1000, seed=0) == whole
    with pytest.raises(ConfigError, match="--trials must be at least 1"):
        grid_points(grid, trials=0, seed=0)


def test_of_a_grid_too_large_to_list_some_settings_are_drawn() -> None:
    grid = {f"key{n}": list(range(100)) for n in range(9)}
    assert grid_size(grid) == 10**18
    points = grid_points(grid, trials=5, seed=3)
    assert len({tuple(point.values()) for point in points}) == 5
    assert all(list(point) == list(grid) for point in points)

import pytest

from mmgraph import errors


@pytest.mark.parametrize("kind", [errors.DataError, errors.GraphError, errors.ConfigError])
def test_mistakes_of_the_caller_are_value_errors(kind):
    assert issubclass(kind, errors.MmgraphError)
    assert issubclass(kind, ValueError)


def test_nearest_lists_all_names_where_none_is_close():
    assert errors.nearest("zzz", ["b", "a"]) == "; known: a, b"
    assert errors.nearest("zzz", []) == ""
    assert errors.nearest("zzz", ["b", "a"], listed=["b"]) == "; known: b"
    assert errors.nearest("aaab", ["bbb", "aaa"], listed=["bbb"]) == "; did you mean 'aaa'?"


def test_a_wrong_type_is_explained_with_path_and_value():
    complaint = {
        "type": "int_parsing",
        "loc": ("model", "k"),
        "msg": "Input should be\n an integer",
        "input": "x",
    }
    line = errors.explain_validation([complaint], lambda table: [])
    assert line == "model.k: input should be an integer (got 'x')"


@pytest.mark.parametrize(("kind", "remedy"), [("tuple", "a list"), ("dict", "a table")])
def test_a_value_of_another_kind_is_told_how_to_be_written(kind, remedy):
    complaint = {"type": f"{kind}_type", "loc": ("data", "x"), "msg": "Bad", "input": 1}
    line = errors.explain_validation([complaint], lambda table: [])
    assert line.startswith(f"data.x: bad (got 1); write {remedy}, such as")


def test_a_missing_key_is_named():
    complaint = {
        "type": "missing",
        "loc": ("interactions", "file"),
        "msg": "Field required",
        "input": {},
    }
    assert "'interactions.file' is missing" in errors.explain_validation(
        [complaint], lambda table: []
    )

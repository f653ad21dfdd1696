import polars as pl
import pytest
import torch

from mmgraph.errors import ConfigError, DataError
from mmgraph.export import RunFolder, recommend, to_table


@pytest.fixture
def run(tmp_path):
    """Two users, four items, one dimension: every user's order is d, c, b, a unless they know an item."""
    folder = RunFolder(tmp_path)
    folder.write_json("run.json", {"format_version": 1})
    folder.write_json(
        "vocabulary.json",
        {"users": ["u1", "u2"], "items": ["a", "b", "c", "d"], "titles": ["A", "B [x]", "", "D"]},
    )
    folder.write_tensors(
        "embeddings.safetensors",
        {"user": torch.tensor([[1.0], [-1.0]]), "item": torch.tensor([[1.0], [2.0], [3.0], [4.0]])},
    )
    (tmp_path / "split").mkdir()
    for part, rows in {"train": "u1,d\n", "valid": "u2,a\n", "test": "u1,b\nu2,d\n"}.items():
        (tmp_path / "split" / f"{part}.csv").write_text(f"user,item\n{rows}")
    return folder


def test_lists_leave_out_what_the_user_knows(run):
    lists = recommend(run.path, ["u1", "u2"], k=3)
    assert [(r.user, r.rank, r.item) for r in lists] == [
        ("u1", 1, "c"),
        ("u1", 2, "b"),
        ("u1", 3, "a"),
        ("u2", 1, "b"),
        ("u2", 2, "c"),
        ("u2", 3, "d"),
    ]
    assert [r.score for r in lists[:3]] == [3.0, 2.0, 1.0]
    assert [r.item for r in lists if r.held_out] == ["b", "d"]
    assert lists[1].title == "B [x]"


def test_a_list_ends_where_the_catalogue_does(run):
    assert [r.item for r in recommend(run, "u1", k=4)] == ["c", "b", "a"]


def test_ties_follow_the_catalogue(run):
    tied = recommend(run, "u2", k=2, score=lambda users: torch.zeros(len(users), 4))
    assert [r.item for r in tied] == ["b", "c"]


def test_an_unknown_user_names_the_nearest(run):
    with pytest.raises(DataError, match=r"'u11' is not one of the 2 known ids; did you mean 'u1'"):
        recommend(run, "u11", k=2)


@pytest.mark.parametrize("k", [0, 5])
def test_k_must_fit(run, k):
    with pytest.raises(ConfigError, match="k must be between 1 and num_items"):
        recommend(run, "u1", k=k)


def test_a_run_without_vectors_says_so(run):
    (run / "embeddings.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"has no embeddings.safetensors"):
        recommend(run, "u1", k=2)


def test_tables_have_fixed_types(run):
    table = to_table(recommend(run, "u1", k=2))
    assert table.schema["score"] == pl.Float64
    assert to_table([]).columns == table.columns

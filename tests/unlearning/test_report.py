"""The report: what it holds, and how near is counted."""

from mmgraph.unlearning.report import distances


def test_nearer_is_strictly_nearer() -> None:
    rows = {
        "original": {"a": 0.9, "b": 0.2, "c": 0.4, "only here": 1.0},
        "unlearned": {"a": 0.4, "b": 0.9, "c": 0.6},
        "gold": {"a": 0.5, "b": 0.4, "c": 0.5},
    }
    found = distances(rows)
    assert list(found) == ["a", "b", "c"]
    assert [found[name]["closer"] for name in found] == [True, False, False]
    assert abs(found["b"]["unlearned"] - 0.5) < 1e-12

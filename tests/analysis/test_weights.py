"""How far modalities are trusted, on weights that are known: text i / 16 for item i, image the rest."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mmgraph.analysis import analyze_weights
from mmgraph.data import ModalityFeatures
from mmgraph.errors import ConfigError

Train = Callable[..., Any]


def test_the_distribution_worked_by_hand(trained: Train) -> None:
    found = analyze_weights(trained())
    assert (found["model"], found["dataset"], found["mirrored"]) == ("open", "checkerboard", True)
    assert found["edges"] == pytest.approx([place / 20 for place in range(21)], abs=1e-9)
    text = found["runs"][0]["modalities"]["text"]
    # Item 0 has no image, so there is nothing to weigh; 1/16 ... 11/16 are left.
    assert text["items"] == 11
    assert text["mean"] == 6 / 16
    assert text["std"] == pytest.approx((10**0.5) / 16, rel=1e-12)
    assert text["in_middle"] == 3 / 11  # 7, 8 and 9 sixteenths
    assert [place for place, count in enumerate(text["counts"]) for _ in range(count)] == [
        *(1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13)
    ]
    image = found["runs"][0]["modalities"]["image"]
    assert (image["items"], image["mean"], image["in_middle"]) == (11, 10 / 16, 3 / 11)


def test_the_ends_mirror_each_other_with_two_modalities(trained: Train) -> None:
    items = analyze_weights(trained(), k=2)["items"]
    assert items["text"]["most"] == [
        {"item": "11", "title": "", "weight": 11 / 16, "degree": 5},
        {"item": "10", "title": "", "weight": 10 / 16, "degree": 5},
    ]
    assert [entry["item"] for entry in items["text"]["least"]] == ["1", "2"]
    for one, other in (("most", "least"), ("least", "most")):
        assert [e["item"] for e in items["image"][one]] == [e["item"] for e in items["text"][other]]


def test_ties_are_ordered_by_index_and_bounds_of_the_middle_count(trained: Train) -> None:
    found = analyze_weights(trained("open", "model.tied=true"), k=3)
    for ends in found["items"].values():
        for entries in ends.values():
            assert [entry["item"] for entry in entries] == ["1", "2", "3"]
    text = found["runs"][0]["modalities"]["text"]
    assert (text["std"], text["in_middle"], text["counts"][5]) == (0, 0, 11)


def test_items_with_few_interactions_are_not_listed(trained: Train) -> None:
    run = trained()
    assert len(analyze_weights(run, k=50)["items"]["text"]["most"]) == 11
    found = analyze_weights(run, k=50, min_degree=6)
    assert found["items"]["text"] == {"most": [], "least": []}
    assert found["runs"][0]["modalities"]["text"]["items"] == 11


def test_titles_are_told(trained: Train) -> None:
    run = trained()
    titles = tuple(f"Item {item}" for item in range(12))
    run.__dict__["dataset"] = replace(run.dataset, titles=titles)
    assert analyze_weights(run, k=1)["items"]["text"]["most"][0]["title"] == "Item 11"


def test_two_runs_beside_each_other(trained: Train) -> None:
    full, without = trained(folder="full"), trained("open", "model.tied=true", folder="without")
    found = analyze_weights(full, against=without)
    assert [run["label"] for run in found["runs"]] == ["full", "without"]
    means = [run["modalities"]["text"]["mean"] for run in found["runs"]]
    assert means == [0.375, 0.25]
    assert found["items"]["text"]["most"][0]["item"] == "11"  # of the first run
    same_name = trained(folder="b/full")
    labels = [run["label"] for run in analyze_weights(full, against=same_name)["runs"]]
    assert labels == [str(full.path), str(same_name.path)]


def test_nothing_to_weigh_has_no_mean(trained: Train) -> None:
    run = trained()
    image = run.dataset.features["image"]
    absent = ModalityFeatures("image", image.x, image.present & False, {})
    run.__dict__["dataset"] = replace(
        run.dataset, features={**run.dataset.features, "image": absent}
    )
    found = analyze_weights(run)
    assert found["runs"][0]["modalities"]["text"] == {
        "items": 0,
        "mean": None,
        "std": None,
        "in_middle": None,
        "counts": [0] * 20,
    }
    assert found["items"]["image"] == {"most": [], "least": []}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"k": 0}, r"k must be at least 1 .got 0.; raise --k"), ({"min_degree": -1}, "--min-degree")],
)
def test_bad_options(trained: Train, options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        analyze_weights(trained(), **options)


def test_what_cannot_be_answered(trained: Train) -> None:
    run = trained()
    with pytest.raises(ConfigError, match=r"learned weights of the modalities .got bpr_mf"):
        analyze_weights(run, against=trained("bpr_mf", folder="other"))
    with pytest.raises(ConfigError, match="as it is configured here"):
        analyze_weights(trained("open", "model.answers=false", folder="silent"))
    other = trained(folder="moved")
    other.__dict__["dataset"] = replace(other.dataset, content_hash="another")
    with pytest.raises(ConfigError, match="must be on the same data"):
        analyze_weights(run, against=other)

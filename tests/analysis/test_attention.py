"""What decided a score, by shares that are known: text (user + item) / 32, interactions a quarter."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mmgraph.analysis import analyze_attention
from mmgraph.errors import ConfigError, DataError

Train = Callable[..., Any]


def test_the_shares_of_both_lists(trained: Train) -> None:
    run = trained()
    found = analyze_attention(run, "2", k=4)
    assert found["parts"] == ["interactions", "text", "image"]
    # User 2 likes the even items but the diagonal one; no times are known, so they come in order.
    assert [entry["item"] for entry in found["history"]] == ["0", "4", "6", "8", "10"]
    assert [(e["item"], e["rank"], e["score"]) for e in found["recommended"]] == [
        (line.item, line.rank, line.score) for line in run.recommend("2", k=4)
    ]
    held_out = {entry["item"]: entry["held_out"] for entry in found["recommended"]}
    assert held_out == {item: item == "2" for item in held_out}
    for entry in [*found["history"], *found["recommended"]]:
        text = (2 + int(entry["item"])) / 32
        assert entry["shares"] == {"interactions": 0.25, "text": text, "image": 0.75 - text}
    mean = (2 + 28 / 5) / 32
    assert found["means"]["history"] == pytest.approx(
        {"interactions": 0.25, "text": mean, "image": 0.75 - mean}
    )


def test_the_latest_training_items_come_first(trained: Train) -> None:
    run = trained()
    train = run.dataset.train
    times = np.where(train.item == 4, 9, train.item)
    run.__dict__["dataset"] = replace(run.dataset, train=replace(train, timestamp=times))
    found = analyze_attention(run, "2", k=4)
    assert [entry["item"] for entry in found["history"]] == ["10", "4", "8", "6", "0"]


def test_lists_may_end_early(trained: Train) -> None:
    found = analyze_attention(trained(), "2", k=12)
    assert len(found["recommended"]) == 7  # twelve items without five


def test_what_cannot_be_answered(trained: Train) -> None:
    run = trained()
    with pytest.raises(DataError, match="id '99' is not one of the 12"):
        analyze_attention(run, "99")
    with pytest.raises(ConfigError, match="k must be between 1 and num_items"):
        analyze_attention(run, "2", k=0)
    with pytest.raises(ConfigError, match=r"an influence of each modality .*got bpr_mf"):
        analyze_attention(trained("bpr_mf", folder="other"), "2")
    with pytest.raises(ConfigError, match="as it is configured here"):
        analyze_attention(trained("open", "model.answers=false", folder="silent"), "2", k=4)

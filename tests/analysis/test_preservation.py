"""What is left of the features: the summary of runs; the measure itself is tested where it is defined."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mmgraph.analysis import analyze_preservation
from mmgraph.errors import ConfigError
from mmgraph.experiment import Observer
from mmgraph.testing import oracles

Train = Callable[..., Any]


def expected(run: Any, name: str, vectors: torch.Tensor) -> np.ndarray:
    feature = run.dataset.features[name]
    return oracles.similarity_change(vectors, feature.x, feature.present)


def test_fused_vectors_are_compared_with_every_modality(trained: Train) -> None:
    run = trained()
    found = analyze_preservation([run])
    assert list(found["modalities"]) == ["text", "image"]
    assert (found["model"], found["dataset"], found["final"]) == ("open", "checkerboard", "fused")
    for name, modality in found["modalities"].items():
        values = expected(run, name, run.model.item_vectors())
        present = ~np.isnan(values)
        assert modality["all"]["items"] == present.sum() == (12 if name == "text" else 11)
        assert modality["all"]["mean"] == pytest.approx(values[present].mean(), abs=1e-6)
        assert modality["all"]["spread"] is None
        # All degrees are equal: the top fifth, two of twelve, are the first two; item 0 has no image.
        best = modality["high_degree"]
        assert best["items"] == (2 if name == "text" else 1)
        assert best["mean"] == pytest.approx(np.nanmean(values[:2]), abs=1e-6)
        assert sum(modality["all"]["counts"][0]) == modality["all"]["items"]
        assert modality["edges"][0] <= values[present].min()
        assert modality["edges"][-1] >= values[present].max()


def test_vectors_of_a_modality_are_compared_with_its_own_features(trained: Train) -> None:
    run = trained()
    found = analyze_preservation([run], final="per_modality")
    assert list(found["modalities"]) == ["image"]  # what else the model has, has no features
    values = expected(run, "image", torch.eye(12))
    assert found["modalities"]["image"]["all"]["mean"] == pytest.approx(
        np.nanmean(values), abs=1e-6
    )


def test_what_an_item_has_side_by_side_is_one_vector(trained: Train) -> None:
    run = trained("mario", "model.backbone.embedding_dim=2")
    found = analyze_preservation([run], final="concat")
    with torch.no_grad():
        parts = run.model.encode().item
    assert parts.size(1) > run.model.item_vectors().size(1)
    for name, modality in found["modalities"].items():
        mean = np.nanmean(expected(run, name, parts))
        assert modality["all"]["mean"] == pytest.approx(mean, abs=1e-6)


def test_trained_vectors_give_mean_and_spread_over_seeds(trained: Train) -> None:
    runs = [trained("bpr_mf", seed=seed, folder=f"s{seed}") for seed in (1, 2, 3)]
    found = analyze_preservation(runs)
    assert [entry["seed"] for entry in found["runs"]] == [1, 2, 3]
    with torch.no_grad():
        means = [expected(run, "text", run.model.encode().item).mean() for run in runs]
    group = found["modalities"]["text"]["all"]
    assert group["means"] == pytest.approx(means, abs=1e-6)
    assert group["mean"] == pytest.approx(np.mean(means), abs=1e-6)
    assert group["spread"] == pytest.approx(np.std(means, ddof=1), abs=1e-6)
    assert group["spread"] > 0
    assert len(group["counts"]) == 3


def test_no_item_of_high_degree_may_have_the_modality(trained: Train) -> None:
    found = analyze_preservation([trained()], high_degree=0.95)  # one item, which has no image
    assert found["modalities"]["image"]["high_degree"] == {
        "items": 0,
        "mean": None,
        "spread": None,
        "means": [],
        "counts": [[0] * 50],
    }


def test_nothing_changed_still_has_a_histogram(
    trained: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained()
    x = torch.from_numpy(run.dataset.features["text"].x)
    monkeypatch.setattr(type(run.model), "item_vectors", lambda self: x)
    text = analyze_preservation([run])["modalities"]["text"]
    assert text["all"]["mean"] == 0
    assert text["edges"][0] == 0
    assert text["all"]["counts"][0][0] == 12


def test_tells_what_it_does(trained: Train) -> None:
    class Listener(Observer):
        def __init__(self) -> None:
            self.phases: list[str] = []
            self.steps: list[tuple[int, int]] = []

        def phase(self, text: str) -> None:
            self.phases.append(text)

        def progress(self, done: int, total: int) -> None:
            self.steps.append((done, total))

    run, listener = trained(), Listener()
    analyze_preservation([run], observer=listener)
    assert listener.phases == [
        f"loading {run.path}",
        "comparing similarities, text",
        "comparing similarities, image",
    ]
    assert listener.steps == [(144, 144), (121, 121)]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, "different seeds .seed 1 is given twice"),
        ({"seed": 2, "overrides": ["model.reg_weight=0.5"]}, "differ in their seed only"),
    ],
)
def test_runs_that_do_not_belong_together(
    trained: Train, other: dict[str, Any], message: str
) -> None:
    overrides = other.pop("overrides", [])
    runs = [trained(seed=1), trained("open", *overrides, folder="other", **other)]
    with pytest.raises(ConfigError, match=message):
        analyze_preservation(runs)


def test_runs_on_other_data_do_not_belong_together(trained: Train) -> None:
    runs = [trained(seed=1), trained(seed=2, folder="other")]
    facts = runs[1].folder.facts()
    runs[1].folder.write_json("run.json", {**facts, "dataset_hash": "other"})
    with pytest.raises(ConfigError, match="or other data"):
        analyze_preservation(runs)


def test_what_cannot_be_answered(trained: Train) -> None:
    with pytest.raises(ConfigError, match=r"vectors of each modality .got bpr_mf, .* open"):
        analyze_preservation([trained("bpr_mf", folder="a")], final="per_modality")
    silent = trained("open", "model.answers=false", folder="b")
    with pytest.raises(ConfigError, match="as it is configured here"):
        analyze_preservation([silent], final="per_modality")
    with pytest.raises(ConfigError, match="less than 1"):
        analyze_preservation([silent], high_degree=1.0)
    silent.dataset.features.clear()
    with pytest.raises(ConfigError, match="must have item features"):
        analyze_preservation([silent])

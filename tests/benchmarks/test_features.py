"""Made features: the same bytes always, of the kind they are said to be, the same on disk."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.graph.features import KINDS, feature_facts, main, make_features, write_features


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_no_byte(kind: str) -> None:
    control = pytest.importorskip("threadpoolctl")
    made = []
    for threads in (1, 2):
        with control.threadpool_limits(threads):
            made.append(make_features(kind, 5000, 37, 3).tobytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_a_seed(kind: str) -> None:
    x = make_features(kind, 300, 8, 0)
    assert x.shape == (300, 8)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert not np.array_equal(x, make_features(kind, 300, 8, 1))


def test_the_sums_of_the_linear_map_are_exact() -> None:
    """float64 products of numbers on the grid have no rounding, so no order of addition matters."""
    from benchmarks.graph.features import _on_grid

    rng = np.random.default_rng(0)
    left = _on_grid(2 * rng.standard_normal((50, 64)))
    right = _on_grid(rng.standard_normal((64, 40)) / 8)
    backwards = left[:, ::-1] @ right[::-1]
    assert np.array_equal(left @ right, backwards)
    assert torch.equal(
        torch.from_numpy(left) @ torch.from_numpy(right), torch.from_numpy(backwards)
    )


def test_kinds_are_what_they_are_called() -> None:
    facts = {kind: feature_facts(kind, make_features(kind, 1500, 512, 0), "") for kind in KINDS}
    assert facts["isotropic"].zeros == 0
    assert abs(facts["isotropic"].mean_cosine) < 0.01
    assert 0.4 < facts["clustered"].zeros < 0.6
    assert 0.3 < facts["imagelike"].zeros < 0.4
    nearest = [facts[kind].tenth_cosine for kind in ("clustered", "imagelike", "isotropic")]
    assert nearest == sorted(nearest, reverse=True)
    assert nearest[0] > 0.8


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_on_disk_are_those_in_memory(dtype: str, tmp_path: Path) -> None:
    mapped = write_features(tmp_path / "x.npy", "clustered", 4500, 6, 1, dtype)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    assert np.array_equal(mapped, make_features("clustered", 4500, 6, 1).astype(dtype))


def test_real_features_are_compared_with_made_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "features.jsonl"
    facts = main(["--dataset", "movielens-small", "--modality", "text", "--out", str(out)])
    assert [fact.name for fact in facts] == ["movielens-small, text", *KINDS]
    assert len({(fact.rows, fact.dim) for fact in facts}) == 1
    assert len(out.read_text().splitlines()) == 4
    assert "tenth neighbour" in capsys.readouterr().out

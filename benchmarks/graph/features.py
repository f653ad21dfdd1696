"""Features to search in: tight clusters, the looser ones of real image features, and no structure at all.

``python -m benchmarks.graph.features`` compares them with the real ones of a data set.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import run_program
from mmgraph.data import load_dataset

LATENT_DIM = 64
ROWS_PER_CLUSTER = 100
KINDS = ("clustered", "imagelike", "isotropic")

_BLOCK_ROWS = 4096
_GRID = 2.0**16


@dataclass(frozen=True)
class _Cloud:
    """How points lie around their centres: latent spread, noise in every column, shift before ReLU."""

    spread: float
    noise: float
    shift: float


_CLOUDS = {
    "clustered": _Cloud(spread=0.5, noise=0.1, shift=0.0),
    # Chosen so that the three figures of `feature_facts` come near those of pooled image features.
    "imagelike": _Cloud(spread=1.0, noise=0.8, shift=0.63),
}


def clustered_features(rows: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Return features like those of a convolutional network after its last ReLU.

    Points lie around centres in a latent space of 64 dimensions, a hundred to a centre; a linear
    map takes them to ``dim``, a little noise is added, and what is negative becomes zero.
    """
    return _collect(rows, dim, feature_blocks("clustered", rows, dim, seed))


def imagelike_features(rows: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Return clusters as loose as those of pooled image features; made as the clustered ones are."""
    return _collect(rows, dim, feature_blocks("imagelike", rows, dim, seed))


def isotropic_features(rows: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Return independent normal numbers: all directions alike, neighbours hardly nearer than others."""
    return _collect(rows, dim, feature_blocks("isotropic", rows, dim, seed))


def feature_blocks(kind: str, rows: int, dim: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield the rows in blocks; a block depends on seed and number alone.

    Latent points and map are rounded to a grid on which float64 products and their sums are exact,
    so that the bytes do not depend on threads or on the order of additions.
    """
    start = np.random.default_rng([seed, 0])
    clusters = max(10, rows // ROWS_PER_CLUSTER)
    cloud = _CLOUDS.get(kind)
    if cloud is not None:
        centre = start.standard_normal((clusters, LATENT_DIM))
        linear = _on_grid(start.standard_normal((LATENT_DIM, dim)) / np.sqrt(LATENT_DIM))
    for number, first in enumerate(range(0, rows, _BLOCK_ROWS)):
        rng = np.random.default_rng([seed, 1, number])
        count = min(_BLOCK_ROWS, rows - first)
        block = rng.standard_normal((count, dim), dtype=np.float32)
        if cloud is not None:
            latent = centre[rng.integers(clusters, size=count)]
            latent = latent + cloud.spread * rng.standard_normal((count, LATENT_DIM))
            block *= np.float32(cloud.noise)
            block += (_on_grid(latent) @ linear).astype(np.float32)
            block += np.float32(cloud.shift)
            np.maximum(block, 0, out=block)
        yield block


def make_features(kind: str, rows: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Return the features of a kind by its name, one of ``KINDS``."""
    makers: dict[str, Callable[[int, int, int], NDArray[np.float32]]] = {
        "clustered": clustered_features,
        "imagelike": imagelike_features,
        "isotropic": isotropic_features,
    }
    return makers[kind](rows, dim, seed)


def write_features(
    path: Path, kind: str, rows: int, dim: int, seed: int, dtype: str
) -> NDArray[np.floating]:
    """Write features to a ``.npy`` file block by block and return them memory-mapped, read-only."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=(rows, dim))
    first = 0
    for block in feature_blocks(kind, rows, dim, seed):
        out[first : first + len(block)] = block
        first += len(block)
    out.flush()
    del out
    mapped: NDArray[np.floating] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def _on_grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(values * _GRID) / _GRID


def _collect(rows: int, dim: int, blocks: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    x = np.empty((rows, dim), dtype=np.float32)
    first = 0
    for block in blocks:
        x[first : first + len(block)] = block
        first += len(block)
    return x


@dataclass(frozen=True)
class FeatureFacts:
    """What a search notices of features.

    Attributes:
        mean_cosine: Over all pairs of different rows.
        tenth_cosine: Mean over the rows of the cosine of the tenth nearest other row.
        zeros: Share of the values that are zero.
    """

    name: str
    rows: int
    dim: int
    mean_cosine: float
    tenth_cosine: float
    zeros: float
    command: str


def feature_facts(name: str, x: NDArray[np.floating], command: str) -> FeatureFacts:
    """Measure features by all their pairs; meant for a few thousand rows.

    Example:
        >>> facts = feature_facts("ones", np.eye(12, dtype=np.float32), "")
        >>> facts.mean_cosine, facts.tenth_cosine, round(facts.zeros, 3)
        (0.0, 0.0, 0.917)
    """
    unit = np.asarray(x, dtype=np.float64)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    cosine = unit @ unit.T
    count = len(unit)
    mean = (cosine.sum() - np.trace(cosine)) / (count * (count - 1))
    np.fill_diagonal(cosine, -np.inf)
    tenth = np.partition(cosine, count - 10, axis=1)[:, count - 10]
    return FeatureFacts(
        name,
        rows=x.shape[0],
        dim=x.shape[1],
        mean_cosine=float(mean),
        tenth_cosine=float(tenth.mean()),
        zeros=float((np.asarray(x) == 0).mean()),
        command=command,
    )


def main(arguments: Sequence[str] | None = None) -> list[FeatureFacts]:
    """Compare the real image features of data sets with made ones of the same shape."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.graph.features",
        description="Compare the features the benchmark makes with real ones of the same shape.",
    )
    parser.add_argument(
        "--dataset", nargs="+", default=["movielens-small"], help="bundled names or folders"
    )
    parser.add_argument("--modality", default="image", help="which features (image)")
    parser.add_argument("--out", type=Path, help="file for the JSON lines; none by default")
    options = parser.parse_args(arguments)
    facts = []
    for place in options.dataset:
        dataset = load_dataset(place, modalities=[options.modality])
        features = dataset.features[options.modality]
        real = np.asarray(features.x)[features.present]
        real = real[(real != 0).any(axis=1)]
        command = (
            f"python -m benchmarks.graph.features --dataset {dataset.name} "
            f"--modality {options.modality}"
        )
        facts.append(feature_facts(f"{dataset.name}, {options.modality}", real, command))
        for kind in KINDS:
            facts.append(
                feature_facts(kind, make_features(kind, len(real), real.shape[1], 0), command)
            )
    for fact in facts:
        print(
            f"{fact.name:<24} {fact.rows:>6,} x {fact.dim:<5,} mean cosine {fact.mean_cosine:6.3f}  "
            f"tenth neighbour {fact.tenth_cosine:6.3f}  zeros {fact.zeros:6.1%}"
        )
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps({"benchmark": "features", **asdict(fact)}) for fact in facts)
        options.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return facts


if __name__ == "__main__":
    run_program(main)

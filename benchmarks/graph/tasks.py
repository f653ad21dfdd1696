"""The three pieces of work: prepare the input once, let a method do it, judge what it answered."""

import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.graph.cells import GraphCell
from benchmarks.graph.features import clustered_features, make_features, write_features
from benchmarks.graph.methods import OURS, Method
from benchmarks.graph.oracle import KnnOracle, count_recall
from benchmarks.rivals.dense_torch import dense_bytes
from mmgraph.data import bundled_datasets, load_dataset

_FULL_WARM_UP = 2e11
"""Operations up to which the warm-up does the whole work; above, it does the first rows only."""
_WARM_UP_ROWS = 5000


@dataclass(frozen=True)
class Outcome:
    """What one call answered: seconds of its phases, what it decided, the answer itself."""

    phases: dict[str, float]
    settings: dict[str, Any] = field(default_factory=dict)
    value: Any = None


class Task(Protocol):
    """A piece of work with its input in place."""

    def refusal(self, name: str) -> str:
        """Return why a method cannot do it here, or an empty string."""

    def warm_up(self, method: Method) -> None:
        """Let a method load and compile what it needs."""

    def run(self, method: Method) -> Outcome:
        """Let a method do the work once."""

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Any]]:
        """Return for each method how right its last answer is."""


class KnnTask:
    """Neighbour lists of made features."""

    def __init__(self, cell: GraphCell, folder: Path) -> None:
        self.cell = cell
        if cell.storage == "disk":
            path = folder / "features.npy"
            self.x: Any = write_features(
                path, cell.data, cell.rows, cell.dim, cell.seed, cell.dtype
            )
        else:
            made = make_features(cell.data, cell.rows, cell.dim, cell.seed)
            self.x = made.astype(cell.dtype, copy=False)

    def refusal(self, name: str) -> str:
        """Refuse the N x N matrix where it does not fit."""
        if name != "torch-dense":
            return ""
        needed = dense_bytes(self.cell.rows, self.cell.dim)
        free = _free_bytes(self.cell.device)
        if needed <= free:
            return ""
        return f"N x N needs {needed / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free"

    def warm_up(self, method: Method) -> None:
        """Do the whole work, or a part of it where the whole takes long."""
        work = 2.0 * self.cell.rows**2 * self.cell.dim
        whole = work <= _FULL_WARM_UP and self.cell.storage == "memory"
        self._search(method, self.x if whole else self.x[: max(_WARM_UP_ROWS, self.cell.k + 2)])

    def run(self, method: Method) -> Outcome:
        """Search."""
        found = self._search(method, self.x)
        return Outcome(dict(found.seconds), dict(found.settings), found.index)

    def _search(self, method: Method, x: Any) -> Any:
        cell = self.cell
        options = dict(method.options)
        if cell.max_memory is not None and method.place.startswith("benchmarks.graph.ours"):
            options["max_memory"] = cell.max_memory
        return method.load()(
            x, cell.k, threads=cell.threads, seed=cell.seed, device=cell.device, options=options
        )

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Any]]:
        """Return recall against float64 on a sample, and a digest of all lists."""
        oracle = KnnOracle(self.x, self.cell.k, self.cell.seed)
        return {
            name: {"recall": oracle.recall(outcome.value), "digest": _digest(outcome.value)}
            for name, outcome in outcomes.items()
        }


class CointeractionTask:
    """Co-interaction counts of the training pairs of a data set."""

    def __init__(self, cell: GraphCell, place: str) -> None:
        self.cell = cell
        self.dataset = load_dataset(place, modalities=[])
        self.user, self.item = self.dataset.train.user, self.dataset.train.item

    def refusal(self, name: str) -> str:
        """Refuse nothing."""
        return ""

    def warm_up(self, method: Method) -> None:
        """Do the whole work."""
        self.run(method)

    def run(self, method: Method) -> Outcome:
        """Count."""
        counts = method.load()(
            self.user,
            self.item,
            num_users=self.dataset.num_users,
            num_items=self.dataset.num_items,
            side=self.cell.side,
            top_k=self.cell.k or None,
        )
        return Outcome(dict(counts.seconds), {}, (counts.source, counts.target))

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Any]]:
        """Return the share of right edges and their number."""
        pairs = (self.item, self.user) if self.cell.side == "item" else (self.user, self.item)
        judged = {}
        for name, outcome in outcomes.items():
            source, target = outcome.value
            # scipy answers with all pairs whatever is wanted.
            top_k = None if name == "scipy" else self.cell.k or None
            recall = count_recall(
                source, target, node=pairs[0], partner=pairs[1], top_k=top_k, seed=self.cell.seed
            )
            judged[name] = {"recall": recall, "edges": len(source)}
        return judged


class BuildTask:
    """All graphs of a data set, from its raw files, with one made modality more."""

    def __init__(self, cell: GraphCell, place: str, folder: Path) -> None:
        self.cell = cell
        self.place = place
        if cell.dim:
            self.place = str(_widened(place, cell, folder / "dataset"))

    def refusal(self, name: str) -> str:
        """Refuse nothing."""
        return ""

    def warm_up(self, method: Method) -> None:
        """Do the whole work."""
        self.run(method)

    def run(self, method: Method) -> Outcome:
        """Read the files and build; the reading is the same for both ways and a phase of its own."""
        begin = time.perf_counter()
        dataset = load_dataset(self.place)
        read = time.perf_counter() - begin
        way = method.load()(dataset)
        return Outcome({"read": read, **way()}, {}, way.graph)

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Any]]:
        """Return, where both ways ran, the smallest share of edges they have in common."""
        if set(outcomes) != {OURS, "plain"}:
            return {name: {} for name in outcomes}
        from benchmarks.graph.build import shared_edges  # with PyG, which no rival search needs

        shares = shared_edges(outcomes[OURS].value, outcomes["plain"].value)
        return {name: {"shared": min(shares.values())} for name in outcomes}


def _widened(place: str, cell: GraphCell, folder: Path) -> Path:
    """Return a copy of a data-set folder with a modality ``made`` for every item."""
    source = bundled_datasets().get(place, Path(place))
    folder.mkdir()
    for path in source.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    items = load_dataset(folder, modalities=[]).items
    (folder / "made_ids.csv").write_text("\n".join(["item", *items.ids]) + "\n", encoding="utf-8")
    np.save(folder / "made.npy", clustered_features(len(items), cell.dim, cell.seed))
    card = (folder / "dataset.toml").read_text(encoding="utf-8")
    extra = '\n[features.made]\nfile = "made.npy"\nids = "made_ids.csv"\n'
    (folder / "dataset.toml").write_text(card + extra, encoding="utf-8")
    return folder


def _digest(lists: np.ndarray[Any, Any]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(lists).tobytes(), digest_size=8).hexdigest()


def _free_bytes(device: str) -> int:
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = [line for line in lines if line.startswith("MemAvailable")]
    return int(free[0].split()[1]) * 1024 if free else 0


def make_task(cell: GraphCell, place: str, folder: Path) -> Task:
    """Prepare the input of a cell.

    Args:
        cell: What to do.
        place: Name or folder of the data set, where the cell is about one.
        folder: For files that the work needs; removed by the caller.
    """
    if cell.what == "knn":
        return KnnTask(cell, folder)
    if cell.what == "cointeraction":
        return CointeractionTask(cell, place)
    return BuildTask(cell, place, folder)

"""The three pieces of work: prepare the input once, let a method do it, judge what it answered."""

import hashlib
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bound import PRECISIONS, gemm_gflops
from benchmarks.cells import OURS, PLAIN
from benchmarks.graph.cells import GraphCell
from benchmarks.graph.features import clustered_features, make_features, write_features
from benchmarks.graph.oracle import KnnOracle, count_recall
from benchmarks.methods import Method
from benchmarks.rivals.answer import PREPARE
from benchmarks.rivals.dense_torch import dense_bytes
from benchmarks.tasks import Outcome, Task, free_bytes
from mmgraph.data import bundled_datasets, load_dataset

_FULL_WARM_UP = 2e11
"""Operations up to which the warm-up does the whole work; above, it does the first rows only."""
_WARM_UP_ROWS = 5000


class GraphTask(Task):
    """What the three pieces of work have in common."""

    def __init__(self, cell: GraphCell) -> None:
        super().__init__(cell)
        self.cell = cell
        self.gemm: dict[str, float] = {}

    def machine_facts(self) -> dict[str, Any]:
        """Return the products per second, where they were measured."""
        return {"gemm_gflops": self.gemm}


class KnnTask(GraphTask):
    """Neighbour lists of made features."""

    def __init__(self, cell: GraphCell, folder: Path) -> None:
        super().__init__(cell)
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
        free = free_bytes(self.cell.device)
        if needed <= free:
            return ""
        return f"N x N needs {needed / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free"

    def warm_up(self, method: Method, name: str) -> None:
        """Do the whole work, or a part of it where the whole takes long."""
        work = 2.0 * self.cell.rows**2 * self.cell.dim
        whole = work <= _FULL_WARM_UP and self.cell.storage == "memory"
        self._search(method, self.x if whole else self.x[: max(_WARM_UP_ROWS, self.cell.k + 2)])

    def run(self, method: Method, name: str) -> Outcome:
        """Search."""
        found = self._search(method, self.x)
        return Outcome(dict(found.seconds), dict(found.settings), found.index)

    def spared(self, outcome: Outcome) -> float:
        """Spare a baseline bringing rows to length one."""
        return outcome.phases.get(PREPARE, 0.0)

    def observe_machine(self) -> None:
        """Keep the best products per second seen between the rounds."""
        if not self.cell.alone:
            for precision in PRECISIONS:
                reached = gemm_gflops(precision, self.cell.device)
                self.gemm[precision] = max(self.gemm.get(precision, 0.0), reached)

    def facts(self, method: Method, median_s: float, phases: Mapping[str, float]) -> dict[str, Any]:
        """Return the operations per second that comparing all pairs would need, and their share."""
        if not self.gemm or not method.exact:
            return {}
        reached = 2 * self.cell.rows**2 * self.cell.dim / median_s / 1e9
        return {
            "equivalent_gflops": reached,
            "share_of_peak": reached / self.gemm["float32"],
        }

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


class CointeractionTask(GraphTask):
    """Co-interaction counts of the training pairs of a data set."""

    def __init__(self, cell: GraphCell, place: str) -> None:
        super().__init__(cell)
        self.dataset = load_dataset(place, modalities=[])
        self.user, self.item = self.dataset.train.user, self.dataset.train.item

    def run(self, method: Method, name: str) -> Outcome:
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


class BuildTask(GraphTask):
    """All graphs of a data set, from its raw files, with one made modality more."""

    def __init__(self, cell: GraphCell, place: str, folder: Path) -> None:
        super().__init__(cell)
        self.place = place
        if cell.dim:
            self.place = str(_widened(place, cell, folder / "dataset"))

    def run(self, method: Method, name: str) -> Outcome:
        """Read the files and build; the reading is the same for both ways and a phase of its own."""
        begin = time.perf_counter()
        dataset = load_dataset(self.place)
        read = time.perf_counter() - begin
        way = method.load()(dataset)
        return Outcome({"read": read, **way()}, {}, way.graph)

    def judge(self, outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, Any]]:
        """Return, where both ways ran, the smallest share of edges they have in common."""
        if set(outcomes) != {OURS, PLAIN}:
            return {name: {} for name in outcomes}
        from benchmarks.graph.builds import shared_edges  # with PyG, which no rival search needs

        shares = shared_edges(outcomes[OURS].value, outcomes[PLAIN].value)
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

"""What the complete runs of a study come to: one row a setting, and tests between the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

import numpy as np
import polars as pl

from mmgraph import __version__
from mmgraph.errors import ConfigError
from mmgraph.evaluation import PairedTest, holm, paired_t_test
from mmgraph.export import run_folder as names
from mmgraph.run import Run
from mmgraph.study.missing import check_one_split
from mmgraph.study.plan import Setting, Study
from mmgraph.study.trial import stored_run

METRICS = tuple(f"{name}@{k}" for name in ("recall", "ndcg", "precision") for k in (10, 20))
"""What a table shows, where it was measured."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A setting and its complete runs, in the order of their seeds."""

    setting: Setting
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """The label of the setting."""
        return self.setting.label

    def is_whole(self, seeds: Sequence[int]) -> bool:
        """Return whether it has a run for each of the seeds: only then is its mean one of all of them."""
        return len(self.runs) == len(seeds)

    def values(self, part: str, metric: str) -> list[float]:
        """Return a metric of ``valid`` or ``test`` for each run."""
        return [run.metrics[part][metric] for run in self.runs]

    def mean(self, part: str, metric: str) -> float:
        """Return the mean of a metric over the runs."""
        return mean(self.values(part, metric))

    def record(self, *, parts: Sequence[str]) -> Record:
        """Return its figures as plain values.

        Args:
            parts: Of ``valid`` and ``test`` those to tell.
        """
        summaries = [run.summary for run in self.runs]
        recipe = self.runs[0].recipe.model_dump(
            mode="json", exclude_none=True, exclude={"seed": True, "data": {"dataset"}}
        )
        per_epoch = [seconds for s in summaries if (seconds := s["timings"].get("epoch_s_median"))]
        return {
            "label": self.label,
            "source": self.setting.source,
            "changes": dict(self.setting.changes),
            "seeds": [s["seed"] for s in summaries],
            **{
                part: {name: self.values(part, name) for name in self.metrics(part)}
                for part in parts
            },
            "epochs": [s["epochs"] for s in summaries],
            "best_epochs": [s["best_epoch"] for s in summaries],
            "seconds": [s["timings"]["total_s"] for s in summaries],
            "epoch_s_median": median(per_epoch) if per_epoch else None,
            "num_parameters": summaries[0]["num_parameters"],
            "recipe": recipe,
        }

    def metrics(self, part: str) -> list[str]:
        """Return the metrics of a part that every run has."""
        first, *others = (run.metrics[part] for run in self.runs)
        return [name for name in first if all(name in other for other in others)]


def rows_of(study: Study) -> list[Row]:
    """Return a row for each setting that has complete runs; those that lack a seed stand below the others.

    Raises:
        ConfigError: the data changed while the study was at work.
    """
    rows = []
    for setting in study.settings:
        found = (stored_run(study.trial(setting, seed)) for seed in study.seeds)
        runs = tuple(run for run in found if run is not None and run.folder.is_complete)
        if runs:
            rows.append(Row(setting, runs))
    check_one_split(
        {run.folder.facts()["split_hash"]: row.label for row in rows for run in row.runs}
    )
    contents: dict[str, str] = {}
    for run in (run for row in rows for run in row.runs):
        kind = run.recipe.data.model_dump_json(exclude={"dataset"})
        found_hash = run.folder.facts()["dataset_hash"]
        if contents.setdefault(kind, found_hash) != found_hash:
            raise ConfigError(
                f"{run.path}: all runs must be of the same data (got two content hashes: the data set has changed); "
                "choose another --out"
            )
    return sorted(rows, key=lambda row: not row.is_whole(study.seeds))


def shown_metrics(rows: Sequence[Row], part: str, metric: str) -> list[str]:
    """Return the metrics of the table that all rows have; at least the one that decides."""
    common = [name for name in METRICS if all(name in row.metrics(part) for row in rows)]
    return common if metric in common else [metric, *common]


def paired_tests(rows: Sequence[Row], reference: Row, metrics: Sequence[str]) -> list[Record]:
    """Compare each other row with a reference, metric by metric, user by user.

    The p-values of one metric are corrected by Holm's method for the number of rows that are compared.

    Args:
        rows: With or without the reference.
        reference: Must not have been chosen by the values that are compared.
        metrics: Of the test part.

    Raises:
        ConfigError: the rows were measured on different users.
    """
    others = [row for row in rows if row is not reference]
    theirs = user_values(reference.runs, metrics)
    tests: dict[str, list[PairedTest]] = {metric: [] for metric in metrics}
    for row in others:
        mine = user_values(row.runs, metrics)
        for metric in metrics:
            tests[metric].append(paired_t_test(mine[metric], theirs[metric]))
    found = []
    for metric in metrics:
        corrected = holm([test.p_value for test in tests[metric]])
        found += [
            {
                "metric": metric,
                "label": row.label,
                "against": reference.label,
                **asdict(test),
                "p_holm": p_holm,
            }
            for row, test, p_holm in zip(others, tests[metric], corrected, strict=True)
        ]
    return found


def user_values(
    runs: Sequence[Run], metrics: Sequence[str]
) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return test metrics of each user, ordered by user, a row for each run; every file is read once.

    Raises:
        ConfigError: the runs measured different users.

    Shapes:
        each of those returned (runs, users).
    """
    tables = []
    for run in runs:
        run.folder.verify(names.PER_USER)
        path = run.folder / names.PER_USER
        tables.append(pl.read_parquet(path, columns=["user", *metrics]).sort("user"))
    for run, table in zip(runs, tables, strict=True):
        if not table["user"].equals(tables[0]["user"]):
            raise ConfigError(
                f"{run.path}: the users must be those of {runs[0].path}; train it again"
            )
    return {metric: np.stack([t[metric].to_numpy() for t in tables]) for metric in metrics}


def environment_of(runs: Sequence[Run]) -> tuple[Record, dict[str, list[Any]]]:
    """Return what runs were made with: what all share, and the different values of what they do not.

    Returns:
        The shared part, as ``environment.json`` has it and with the device, and by key with dots the values of the
        others, in the order of the runs.
    """
    tables = [
        {**run.folder.read_json(names.ENVIRONMENT), "device": run.folder.facts()["device"]}
        for run in runs
    ]
    differing: dict[str, list[Any]] = {}

    def shared(found: Sequence[Any], path: str) -> Record:
        same = {}
        for key in dict.fromkeys(key for table in found for key in table):
            values = [table.get(key) for table in found]
            if all(isinstance(value, Mapping) for value in values):
                same[key] = shared(values, f"{path}{key}.")
            elif all(value == values[0] for value in values):
                same[key] = values[0]
            else:
                # Lists and tables have no hash.
                differing[path + key] = [v for n, v in enumerate(values) if v not in values[:n]]
        return same

    return shared(tables, ""), differing


def study_record(
    kind: str, study: Study, rows: Sequence[Row], failures: Mapping[tuple[str, int], str]
) -> Record:
    """Return what all studies tell of themselves."""
    facts = rows[0].runs[0].folder.facts()
    shared, differing = environment_of([run for row in rows for run in row.runs])
    return {
        "study": kind,
        "mmgraph": __version__,
        "dataset": facts["dataset"],
        "split_hash": facts["split_hash"],
        "seeds": list(study.seeds),
        "failed": [
            {"label": label, "seed": seed, "message": text}
            for (label, seed), text in failures.items()
        ],
        "environment": shared,
        "environment_differs": differing,
    }

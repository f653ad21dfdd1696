"""Models over seeds on one split, with a paired test: ``python -m benchmarks.accuracy.compare``.

Each model is trained once per seed. A run that is complete is only read and one that was interrupted
goes on, so the command can be given again after a crash, or with more seeds. The table has the mean
and the standard deviation over seeds of the test metrics; the first model is compared with each other
one by a paired t-test over users, whose values are first averaged over the seeds.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import ttest_rel

from benchmarks.accuracy.one import (
    Request,
    check_request,
    is_complete,
    run_request,
    write_request,
)
from benchmarks.harness import REPOSITORY, machine, positive, run_program
from mmgraph.config import shipped_recipes
from mmgraph.data.card import read_card
from mmgraph.data.dataset import bundled_datasets
from mmgraph.errors import ConfigError, MmgraphError
from mmgraph.experiment import Run, load_run
from mmgraph.export.run_folder import PER_USER

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
PAIRED_METRIC = "recall@20"


@dataclass(frozen=True)
class ModelResult:
    """One model over its seeds.

    Attributes:
        test: Metric to its value for each seed.
        epochs: Epochs trained for each seed.
        epoch_s_median: Median over seeds of the median seconds of an epoch.
        recipe: The resolved recipe of the first seed, without its data folder.
    """

    label: str
    seeds: list[int]
    test: dict[str, list[float]]
    epochs: list[int]
    epoch_s_median: float | None
    num_parameters: int
    recipe: dict[str, Any]


@dataclass(frozen=True)
class PairedDifference:
    """The first model minus another, user by user, each averaged over its seeds.

    Attributes:
        difference: Mean over users.
        low: Lower end of the 95 % confidence interval.
        high: Its upper end.
        p_value: Of the two-sided paired t-test; None where all differences are equal.
    """

    first: str
    other: str
    metric: str
    num_users: int
    difference: float
    low: float | None
    high: float | None
    p_value: float | None


def make_requests(options: argparse.Namespace) -> dict[str, list[Request]]:
    """Return the runs wanted, model by model.

    Raises:
        ConfigError: two models would have the same name in the table.
    """
    place = options.dataset
    folder = Path(place)
    if folder.is_dir():
        place, name = str(folder.resolve()), read_card(folder).name
    else:
        name = place
        if name not in bundled_datasets():
            raise ConfigError(
                f"--dataset must be a folder or one of {', '.join(bundled_datasets())} (got {name!r})"
            )
    threads = 1 if options.jobs > 1 else options.threads
    requests: dict[str, list[Request]] = {}
    for model in options.model:
        shipped = f"{name}/{model}"
        recipe = shipped if options.recipes and shipped in shipped_recipes() else model
        if recipe.endswith(".toml"):
            recipe = str(Path(recipe).resolve())
        label = Path(model).stem
        if label in requests:
            raise ConfigError(f"models must have different names (got {label!r} twice)")
        requests[label] = [
            Request(
                label=label,
                recipe=recipe,
                dataset=place,
                overrides=tuple(options.set),
                seed=options.first_seed + number,
                folder=str(options.out.resolve()),
                threads=threads,
            )
            for number in range(options.seeds)
        ]
    return requests


def do_runs(requests: Sequence[Request], *, jobs: int) -> None:
    """Do what is not done yet, ``jobs`` runs at a time; one job runs in this process.

    Raises:
        ConfigError: a run that is there has another recipe; nothing was started.
        MmgraphError: a run failed; those that were already under way are finished first.
    """
    for request in requests:
        check_request(request)
    missing = []
    for request in requests:
        if is_complete(request):
            _report("", load_run(request.run_path), "complete")
        else:
            missing.append(request)
    if jobs == 1:
        for number, request in enumerate(missing, start=1):
            _report(f"{number}/{len(missing)}", run_request(request), "trained")
        return
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_run_apart, request): request for request in missing}
        for number, future in enumerate(as_completed(futures), start=1):
            if future.exception() is not None:
                pool.shutdown(cancel_futures=True)
            future.result()
            _report(f"{number}/{len(missing)}", load_run(futures[future].run_path), "trained")


def _run_apart(request: Request) -> None:
    path = request.run_path.with_name(f"seed-{request.seed}.request.json")
    write_request(request, path)
    threads = str(request.threads)
    variables = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    variables["OPENBLAS_NUM_THREADS"] = threads
    command = [sys.executable, "-m", "benchmarks.accuracy.one", str(path)]
    answer = subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True)
    path.unlink()
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise MmgraphError(f"{request.label}, seed {request.seed}: {lines[-1]}")


def _report(number: str, run: Run, state: str) -> None:
    summary = run.summary
    value = summary["test"].get(PAIRED_METRIC)
    shown = f"test {PAIRED_METRIC} {value:.4f}" if value is not None else ""
    print(
        f"  {number:>6} {summary['model']:<12} seed {summary['seed']}: {state}, "
        f"{summary['epochs']} epochs, best {summary['best_epoch']}, {shown}",
        flush=True,
    )


def summarise(label: str, runs: Sequence[Run]) -> ModelResult:
    """Gather the figures of one model.

    Raises:
        ConfigError: the runs lack a metric of the table.
    """
    summaries = [run.summary for run in runs]
    for summary in summaries:
        missing = [name for name in METRICS if name not in summary["test"]]
        if missing:
            raise ConfigError(
                f"{label}: the table needs {', '.join(METRICS)} (got none of {', '.join(missing)}); "
                "add their metrics and lengths to the recipe's evaluation"
            )
    timings = [
        s["timings"]["epoch_s_median"] for s in summaries if "epoch_s_median" in s["timings"]
    ]
    recipe = runs[0].recipe.model_dump(mode="json", exclude_none=True)
    recipe["data"].pop("dataset", None)
    recipe.pop("seed")
    return ModelResult(
        label=label,
        seeds=[s["seed"] for s in summaries],
        test={name: [s["test"][name] for s in summaries] for name in METRICS},
        epochs=[s["epochs"] for s in summaries],
        epoch_s_median=median(timings) if timings else None,
        num_parameters=summaries[0]["num_parameters"],
        recipe=recipe,
    )


def user_values(runs: Sequence[Run], metric: str) -> tuple[list[str], np.ndarray]:
    """Return the users and each one's metric averaged over the runs.

    Raises:
        ConfigError: the runs measured different users.
    """
    tables = [pl.read_parquet(run.folder / PER_USER).sort("user") for run in runs]
    users = tables[0]["user"].to_list()
    for run, table in zip(runs, tables, strict=True):
        if table["user"].to_list() != users:
            raise ConfigError(f"{run.path}: the users must be those of {runs[0].path}")
    return users, np.mean([table[metric].to_numpy() for table in tables], axis=0)


def paired_difference(
    first: tuple[str, Sequence[Run]], other: tuple[str, Sequence[Run]], *, metric: str
) -> PairedDifference:
    """Compare two models user by user.

    Raises:
        ConfigError: they were measured on different splits.
    """
    users, mine = user_values(first[1], metric)
    other_users, theirs = user_values(other[1], metric)
    hashes = {run.folder.facts()["split_hash"] for run in (*first[1], *other[1])}
    if users != other_users or len(hashes) > 1:
        raise ConfigError(
            f"{first[0]} and {other[0]} must have the same split (got {len(hashes)} different ones); "
            "give both the same data.split"
        )
    difference = mine - theirs
    low = high = p_value = None
    if len(users) > 1 and np.ptp(difference) > 0:
        test = ttest_rel(mine, theirs)
        interval = test.confidence_interval(0.95)
        low, high, p_value = float(interval.low), float(interval.high), float(test.pvalue)
    return PairedDifference(
        first=first[0],
        other=other[0],
        metric=metric,
        num_users=len(users),
        difference=float(difference.mean()),
        low=low,
        high=high,
        p_value=p_value,
    )


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation; one value has no spread."""
    return mean(values), stdev(values) if len(values) > 1 else None


def table_lines(results: Sequence[ModelResult], pairs: Sequence[PairedDifference]) -> Iterator[str]:
    """Yield the lines of the table and of the paired differences."""
    width = max(len(result.label) for result in results)
    names = "".join(f"{name:>18}" for name in METRICS)
    yield f"{'model':<{width}}{names}{'s/epoch':>10}{'epochs':>8}{'parameters':>12}"
    for result in results:
        cells = ""
        for name in METRICS:
            average, deviation = spread(result.test[name])
            text = f"{average:.4f}" + (f" ± {deviation:.4f}" if deviation is not None else "")
            cells += f"{text:>18}"
        seconds = f"{result.epoch_s_median:.3f}" if result.epoch_s_median is not None else "-"
        yield (
            f"{result.label:<{width}}{cells}{seconds:>10}{median(result.epochs):>8.0f}"
            f"{result.num_parameters:>12,}"
        )
    for pair in pairs:
        if pair.p_value is None:
            detail = "no test"
        else:
            detail = f"95 % [{pair.low:+.4f}, {pair.high:+.4f}], p = {pair.p_value:.2g}"
        yield (
            f"{pair.first} - {pair.other}: {pair.metric} {pair.difference:+.4f} over "
            f"{pair.num_users:,} users, {detail}"
        )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare models over seeds on one split.")
    parser.add_argument("--dataset", default="movielens-small", help="bundled name or folder")
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        help="model or recipe; repeat it, first against rest",
    )
    parser.add_argument("--seeds", type=positive, default=5, help="runs of each model (5)")
    parser.add_argument("--first-seed", type=int, default=2026, help="the first of them (2026)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="for all models; repeatable"
    )
    parser.add_argument(
        "--recipes", action="store_true", help="use the shipped recipes of this data set"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and the JSON")
    parser.add_argument(
        "--jobs", type=positive, default=1, help="runs at once, one thread each (1)"
    )
    parser.add_argument("--threads", type=positive, default=2, help="threads with --jobs 1 (2)")
    parser.add_argument("--json", type=Path, help="file for the result (OUT/comparison.json)")
    return parser.parse_args(arguments)


def command_line(options: argparse.Namespace, dataset: str) -> str:
    """Return the command with the name of the data set and without folders."""
    parts = ["python", "-m", "benchmarks.accuracy.compare", "--dataset", dataset]
    for model in options.model:
        parts += ["--model", Path(model).name if model.endswith(".toml") else model]
    parts += ["--seeds", str(options.seeds)]
    for assignment in options.set:
        parts += ["--set", assignment]
    return shlex.join([*parts, *(["--recipes"] if options.recipes else []), "--out", "DIR"])


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Train what is missing, print the table, write the JSON; return it."""
    options = parse(arguments)
    requests = make_requests(options)
    # Seed by seed, so that an interrupted comparison has all models on the seeds it has.
    do_runs([r for group in zip(*requests.values(), strict=True) for r in group], jobs=options.jobs)
    runs = {label: [load_run(r.run_path) for r in group] for label, group in requests.items()}
    results = [summarise(label, group) for label, group in runs.items()]
    (first, *others) = runs.items()
    pairs = [paired_difference(first, other, metric=PAIRED_METRIC) for other in others]
    facts = first[1][0].folder.facts()
    print(f"{facts['dataset']}: test, {options.seeds} seeds, mean ± standard deviation")
    for line in table_lines(results, pairs):
        print(line)
    record = {
        "benchmark": "accuracy",
        "dataset": facts["dataset"],
        "split_hash": facts["split_hash"],
        "models": [asdict(result) for result in results],
        "paired": [asdict(pair) for pair in pairs],
        "command": command_line(options, facts["dataset"]),
        "environment": machine(),
    }
    path = options.json or options.out / "comparison.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(f"{json.dumps(record, indent=1, allow_nan=False)}\n", encoding="utf-8")
    partial.replace(path)
    return record


if __name__ == "__main__":
    run_program(main)

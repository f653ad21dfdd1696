"""Unlearning next to training anew, for a share of users, items and interactions over seeds.

``python -m benchmarks.unlearning --dataset movielens-small --out runs/unlearning`` trains the recipe with each seed,
asks for a random share of its users, of its items and of its training interactions to be forgotten, one after the
other, with ``mmgraph unlearn --gold``, and prints one table in Markdown. What is in the folder already is only read, so
the same command goes on where it stopped; what was made with other settings is refused. With another seed the share is
another one.
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks.harness import OneLineParser, machine, positive, run_program, set_threads
from mmgraph.cli.console import format_seconds
from mmgraph.cli.study import spread
from mmgraph.config import apply_overrides, parse_config
from mmgraph.errors import ConfigError
from mmgraph.experiment import Observer, resume, train
from mmgraph.files import write_file
from mmgraph.run import Run
from mmgraph.study.plan import FIRST_SEED, setting_of
from mmgraph.study.trial import Trial, stored_run
from mmgraph.unlearning import UnlearningConfig, unlearn
from mmgraph.unlearning.record import origin_of
from mmgraph.unlearning.request import read_request
from mmgraph.unlearning.retain import divide

KINDS = ("users", "items", "interactions")

Report = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, then print the table."""
    options = _parser().parse_args(arguments)
    if not 0 < options.share < 1:
        raise ConfigError(
            f"--share must be above 0 and below 1 (got {options.share}); such as 0.05"
        )
    set_threads(options.threads)
    sections = []
    for dataset in options.dataset:
        reports: dict[str, list[Report]] = {kind: [] for kind in options.kinds}
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            folder = options.out / Path(dataset).name / f"seed-{seed}"
            source = _original(folder / "original", options, dataset, seed)
            for kind in options.kinds:
                reports[kind].append(_measured(folder, source, kind, options, seed))
        sections += table(reports, title=f"{options.recipe} on {Path(dataset).name}")
    print("\n".join(sections))


def draw_request(run: Run, kind: str, share: float, seed: int) -> dict[str, list[Any]]:
    """Return a random share of the users, items or training interactions of a run, by external id."""
    data, rng = run.dataset, np.random.default_rng((seed, KINDS.index(kind)))
    if kind == "interactions":
        count = max(1, round(share * len(data.train)))
        rows = np.sort(rng.choice(len(data.train), count, replace=False))
        pairs = zip(data.train.user[rows].tolist(), data.train.item[rows].tolist(), strict=True)
        return {kind: [(data.users[user], data.items[item]) for user, item in pairs]}
    known = {"users": data.users, "items": data.items}[kind]
    chosen = rng.choice(len(known), max(1, round(share * len(known))), replace=False)
    return {kind: [known[row] for row in sorted(chosen.tolist())]}


def table(reports: Mapping[str, Sequence[Report]], *, title: str) -> list[str]:
    """Return the lines of a section in Markdown: a row for each figure of each kind of request.

    A figure that some seeds do not have, such as one of test rows where none are left, is that of the others; the last
    column says of how many. Times are medians.
    """
    lines = [f"## {title}", ""]
    lines += ["| forgotten | figure | original | unlearned | retrained | nearer | seeds nearer |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for kind, members in reports.items():
        for name in dict.fromkeys(name for report in members for name in report["distance"]):
            found = [report for report in members if name in report["distance"]]
            near = [report["distance"][name] for report in found]
            cells = [
                spread([report["figures"][row][name] for report in found])
                for row in ("original", "unlearned", "gold")
            ]
            gaps = [mean(gap[row] for gap in near) for row in ("original", "unlearned")]
            nearer = "yes" if gaps[1] < gaps[0] else "no"
            count = f"{sum(gap['closer'] for gap in near)} of {len(near)}"
            lines.append(f"| {kind} | {name} | {' | '.join(cells)} | {nearer} | {count} |")
        took = {
            key: median(report["seconds"][key] for report in members)
            for key in ("unlearned", "gold", "speedup")
        }
        times = " | ".join(format_seconds(took[key]) for key in ("unlearned", "gold"))
        lines.append(f"| {kind} | time, {took['speedup']:.1f} times | - | {times} | - | - |")
    return [*lines, ""]


def _original(folder: Path, options: argparse.Namespace, dataset: str, seed: int) -> Run:
    setting = setting_of(options.recipe, dataset, overrides=options.set)
    trial = Trial(setting.label, seed, setting.values, folder)
    run = stored_run(trial)
    if run is None:
        values = {**trial.values, "seed": seed}
        return train(values, out=folder, device=options.device, observer=_Said())
    if not run.folder.is_complete:
        return resume(folder, dataset=trial.recipe.data.dataset, observer=_Said())
    return dataclasses.replace(run, device=options.device)


def _measured(
    folder: Path, source: Run, kind: str, options: argparse.Namespace, seed: int
) -> Report:
    path = folder / f"{kind}.json"
    asked = draw_request(source, kind, options.share, seed)
    made_of = _made_of(source, asked, options)
    if path.is_file():
        report: Report = json.loads(path.read_text(encoding="utf-8"))
        _check_same(path, made_of, report.get("made_of", {}))
        return report
    made = unlearn(
        source,
        users=asked.get("users"),
        items=asked.get("items"),
        interactions=asked.get("interactions"),
        gold=True,
        overrides=options.unlearn,
        out=_unused(folder, kind),
        observer=_Said(),
    )
    found = {**made.report, "made_of": made_of, "machine": machine(options.device)}
    write_file(path, f"{json.dumps(found, indent=2)}\n".encode())
    return found


def _made_of(
    source: Run, asked: Mapping[str, list[Any]], options: argparse.Namespace
) -> dict[str, Any]:
    """Return what a report depends on: the share, the options of unlearning, hashes of the run and of the request."""
    values = apply_overrides({}, options.unlearn)
    settings = parse_config(UnlearningConfig, values, origin="--unlearn")
    division = divide(source.dataset, read_request(source.dataset, **asked))
    told = settings.model_dump(mode="json")
    return {"share": options.share, **told, **origin_of(source, division)}


def _check_same(path: Path, wanted: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if key not in kept or kept[key] != value:
            there = f"is {kept[key]!r} there" if key in kept else "is not told there"
            raise ConfigError(
                f"{path}: must be a report of what is asked for ({key} {there}, {value!r} is asked for); "
                "choose another --out or remove the report"
            )


def _unused(folder: Path, kind: str) -> Path:
    """Return where to write; a run that was left without its report stays where it is."""
    tries = (folder / (f"{kind}-{n}" if n else kind) for n in range(1000))
    return next(p for p in tries if not p.exists() and not p.with_name(f"{p.name}-gold").exists())


class _Said(Observer):
    def phase(self, text: str) -> None:
        """Say nothing but the phases."""
        print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m benchmarks.unlearning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", nargs="+", default=["movielens-small"], help="bundled names or folders")
    add("--recipe", default="lightgcn", help="a model, a shipped recipe or a .toml file (lightgcn)")
    add("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change keys of the recipe")
    add("--unlearn", nargs="+", default=[], metavar="KEY=VALUE", help="change how to unlearn")
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what to forget (all three)")
    add("--share", type=float, default=0.05, help="how much of it (0.05)")
    add("--seeds", type=positive, default=3, help="runs of each (3)")
    add("--first-seed", type=int, default=FIRST_SEED, help=f"seed of the first ({FIRST_SEED})")
    add("--out", type=Path, required=True, help="folder of the runs and reports")
    add("--threads", type=positive, default=1, help="threads (1)")
    add("--device", default="cpu", help="where to compute (cpu)")
    return parser


if __name__ == "__main__":
    run_program(main)

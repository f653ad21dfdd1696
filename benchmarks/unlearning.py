"""Unlearning next to training anew, for a share of users, items and interactions over seeds.

``python -m benchmarks.unlearning --dataset movielens-small --out runs/unlearning`` trains the recipe with each seed,
asks for a random share of its users, of its items and of its training interactions to be forgotten, one after the
other, with ``mmgraph unlearn --gold``, and prints one table in Markdown. What is in the folder already is only read, so
the same command goes on where it stopped. With another seed the share is another one.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from benchmarks.harness import OneLineParser, machine, positive, run_program, set_threads
from mmgraph.errors import ConfigError
from mmgraph.experiment import Observer, load_run, resume, train
from mmgraph.files import write_file
from mmgraph.run import Run
from mmgraph.study.plan import FIRST_SEED, setting_of
from mmgraph.unlearning import unlearn

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
    """Return the lines of a section in Markdown: a row for each figure of each kind of request."""
    lines = [f"## {title}", ""]
    lines += ["| forgotten | figure | original | unlearned | retrained | nearer | seeds nearer |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for kind, members in reports.items():
        for name in members[0]["distance"]:
            near = [report["distance"][name] for report in members if name in report["distance"]]
            cells = [
                _spread(report["figures"][row][name] for report in members)
                for row in ("original", "unlearned", "gold")
            ]
            gaps = [mean(gap[row] for gap in near) for row in ("original", "unlearned")]
            nearer = "yes" if gaps[1] < gaps[0] else "no"
            count = f"{sum(gap['closer'] for gap in near)} of {len(near)}"
            lines.append(f"| {kind} | {name} | {' | '.join(cells)} | {nearer} | {count} |")
        seconds = {
            row: _spread((report["seconds"][row] for report in members), digits=1)
            for row in ("unlearned", "gold", "speedup")
        }
        cells_of_time = f"- | {seconds['unlearned']} | {seconds['gold']} | - | -"
        lines.append(f"| {kind} | seconds, {seconds['speedup']} times | {cells_of_time} |")
    return [*lines, ""]


def _spread(values: Iterable[float], *, digits: int = 4) -> str:
    numbers = list(values)
    text = f"{mean(numbers):.{digits}f}"
    return text + (f" ± {stdev(numbers):.{digits}f}" if len(numbers) > 1 else "")


def _original(folder: Path, options: argparse.Namespace, dataset: str, seed: int) -> Run:
    if (folder / "run.json").is_file():
        run = load_run(folder, device=options.device)
        return run if run.folder.is_complete else resume(folder, observer=_Said())
    setting = setting_of(options.recipe, dataset, overrides=options.set)
    values = {**setting.values, "seed": seed}
    return train(values, out=folder, device=options.device, observer=_Said())


def _measured(
    folder: Path, source: Run, kind: str, options: argparse.Namespace, seed: int
) -> Report:
    path = folder / f"{kind}.json"
    if path.is_file():
        report: Report = json.loads(path.read_text(encoding="utf-8"))
        return report
    asked = draw_request(source, kind, options.share, seed)
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
    found = {**made.report, "share": options.share, "machine": machine(options.device)}
    write_file(path, f"{json.dumps(found, indent=2)}\n".encode())
    return found


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

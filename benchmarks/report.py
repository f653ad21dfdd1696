"""Pictures and tables of what was measured: ``python -m benchmarks.report``.

From ``benchmarks/results/BENCHMARK/*.jsonl`` it makes ``docs/benchmarks/BENCHMARK.md`` and, where
matplotlib is installed, its pictures, for each of the benchmarks; from ``benchmarks/results/*.json``
(accuracy) ``docs/benchmarks/results.md``.
"""

import argparse
import importlib
import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.benchmark import NAMES
from benchmarks.figures import by_machine
from benchmarks.harness import REPOSITORY
from benchmarks.lines import read_lines
from benchmarks.markdown import COMMAND, spread

RESULTS = REPOSITORY / "benchmarks" / "results"
DOCS = REPOSITORY / "docs" / "benchmarks"

Record = dict[str, Any]


def read_records(folder: Path) -> list[Record]:
    """Return the accuracy records of a folder, in the order of the file names."""
    records = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json"))]
    return [record for record in records if record["benchmark"] == "accuracy"]


def accuracy_lines(record: Record) -> Iterator[str]:
    """Yield the table of one comparison and its paired differences."""
    names = list(record["models"][0]["test"])
    yield "| model | " + " | ".join(names) + " | s/epoch | epochs | parameters |"
    yield "|---|" + "--:|" * (len(names) + 3)
    for model in record["models"]:
        seconds = model["epoch_s_median"]
        cells = [
            model["label"],
            *(spread(model["test"][name]) for name in names),
            f"{seconds:.2f}" if seconds is not None else "",
            f"{median(model['epochs']):.0f}",
            f"{model['num_parameters']:,}",
        ]
        yield "| " + " | ".join(cells) + " |"
    yield ""
    for pair in record["paired"]:
        detail = ""
        if pair["p_value"] is not None:
            detail = f", 95 % interval [{pair['low']:+.4f}, {pair['high']:+.4f}], p = {pair['p_value']:.2g}"
        yield (
            f"- {pair['first']} – {pair['other']}: {pair['metric']} {pair['difference']:+.4f} over "
            f"{pair['num_users']:,} users{detail}"
        )
    yield ""
    yield f"`{record['command']}`, {len(record['models'][0]['seeds'])} seeds"


def page(accuracy: Sequence[Record]) -> str:
    """Return the page of the comparisons in Markdown."""
    lines = [
        "# Quality",
        "",
        f"Made by `{COMMAND}` from `benchmarks/results`; edit the programs, not this page. Test metrics of a",
        "full ranking, mean and standard deviation over seeds.",
    ]
    for record in accuracy:
        lines += ["", f"## {record['dataset']}", "", *accuracy_lines(record)]
    return "\n".join(lines) + "\n"


def write_benchmark_page(name: str, folder: Path, out: Path, *, pictures: bool) -> None:
    """Write the page of a benchmark from the result files of a folder."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in read_lines(path)]
    machines = by_machine(line for line in lines if line["benchmark"] == name)
    drawn = {}
    for machine, members in machines.items():
        prefix = "_".join([name, *re.findall("[a-z0-9]+", machine.lower())])
        draw = importlib.import_module(f"benchmarks.{name}.pictures").draw_all
        drawn[machine] = draw(members, out, prefix) if pictures else []
    others = [line for line in lines if line["benchmark"] != name]
    text = importlib.import_module(f"benchmarks.{name}.page").page(machines, drawn, others)
    target = out / f"{name}.md"
    target.write_text(text, encoding="utf-8")
    print(f"{target.name}: {len(lines)} lines")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description="Pictures and tables of what was measured.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the pages and pictures")
    options = parser.parse_args(arguments)
    accuracy = read_records(options.results)
    pictures = importlib.util.find_spec("matplotlib") is not None
    options.out.mkdir(parents=True, exist_ok=True)
    if not pictures:
        print("matplotlib is not installed: no pictures")
    target = options.out / "results.md"
    target.write_text(page(accuracy), encoding="utf-8")
    print(f"{target.name}: {len(accuracy)} comparisons")
    for name in NAMES:
        write_benchmark_page(name, options.results / name, options.out, pictures=pictures)


if __name__ == "__main__":
    main()

"""Pictures and tables of what was measured: ``python -m benchmarks.report``.

From ``benchmarks/results/BENCHMARK/*.jsonl`` it makes ``docs/benchmarks/BENCHMARK.md`` and, where
matplotlib is installed, its pictures, for each of the benchmarks; from ``benchmarks/results/*.json``,
which ``mmgraph compare`` and ``mmgraph ablate`` write, ``docs/benchmarks/results.md``.
"""

import argparse
import importlib
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.benchmark import NAMES
from benchmarks.figures import by_machine
from benchmarks.harness import REPOSITORY
from benchmarks.lines import read_lines
from benchmarks.markdown import COMMAND, header
from mmgraph.cli.study import spread
from mmgraph.study.plan import FIRST_SEED

RESULTS = REPOSITORY / "benchmarks" / "results"
DOCS = REPOSITORY / "docs" / "benchmarks"

STUDIES = ("compare", "ablate")

Record = dict[str, Any]


def read_records(folder: Path) -> list[Record]:
    """Return the studies of a folder, in the order of the file names."""
    records = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json"))]
    return [record for record in records if record.get("study") in STUDIES]


def study_lines(record: Record) -> Iterator[str]:
    """Yield the table of a study and what its tests found."""
    names, metric = record["metrics"], record["metric"]
    head = "model" if record["study"] == "compare" else record["recipe"]
    yield from header([head, *names, "s/epoch", "epochs", "parameters"], left=(head,))
    for row in record["rows"]:
        seconds = row["epoch_s_median"]
        cells = [
            row["label"],
            *(spread(row["test"][name]) for name in names),
            f"{seconds:.2f}" if seconds is not None else "",
            f"{median(row['epochs']):.0f}",
            f"{row['num_parameters']:,}",
        ]
        yield "| " + " | ".join(cells) + " |"
    yield ""
    for test in record["tests"]:
        if test["metric"] != metric:
            continue
        detail = ""
        if test["p_holm"] is not None:
            detail = f", 95 % interval [{test['low']:+.4f}, {test['high']:+.4f}], p = {test['p_holm']:.2g}"
        yield (
            f"- {test['label']} – {test['against']}: {metric} {test['difference']:+.4f} over "
            f"{test['num_users']:,} users{detail}"
        )
    yield ""
    yield f"`{command_of(record)}`"


def command_of(record: Record) -> str:
    """Return the command of a study, without the folder of its data set.

    Example:
        >>> row = {"source": "shop/lightgcn", "label": "lightgcn", "changes": {}}
        >>> study = {"study": "compare", "dataset": "shop", "best": "lightgcn", "against": "lightgcn"}
        >>> command_of({**study, "seeds": [1, 2], "rows": [row]})
        'mmgraph compare lightgcn --dataset shop --seeds 2 --first-seed 1'
    """
    dataset, rows = record["dataset"], record["rows"]
    if record["study"] == "ablate":
        words = ["mmgraph", "ablate", _recipe_word(rows[0]["source"], record["recipe"], dataset)]
    else:
        words = ["mmgraph", "compare"]
        words += [_recipe_word(row["source"], row["label"], dataset) for row in rows]
    seeds = record["seeds"]
    words += ["--dataset", dataset, "--seeds", str(len(seeds))]
    words += ["--first-seed", str(seeds[0])] if seeds[0] != FIRST_SEED else []
    for key, value in rows[0]["changes"].items():
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    if record["study"] == "compare" and record["against"] != record["best"]:
        words += ["--against", record["against"]]
    return shlex.join(words)


def _recipe_word(source: str, label: str, dataset: str) -> str:
    if source.endswith(".toml"):
        return Path(source).name
    return label if source in (f"{dataset}/{label}", f"defaults of {label}") else source


def page(studies: Sequence[Record]) -> str:
    """Return the page of the studies in Markdown."""
    lines = [
        "# Quality",
        "",
        f"Made by `{COMMAND}` from `benchmarks/results`; edit the programs, not this page. Test metrics of a",
        "full ranking, mean and standard deviation over seeds; paired t-tests over users, each averaged over the",
        "seeds, with p-values corrected by Holm's method for the rows of a table.",
    ]
    for record in studies:
        of = f": {record['recipe']} and its parts" if record["study"] == "ablate" else ""
        lines += ["", f"## {record['dataset']}{of}", "", *study_lines(record)]
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
    studies = read_records(options.results)
    pictures = importlib.util.find_spec("matplotlib") is not None
    options.out.mkdir(parents=True, exist_ok=True)
    if not pictures:
        print("matplotlib is not installed: no pictures")
    target = options.out / "results.md"
    target.write_text(page(studies), encoding="utf-8")
    print(f"{target.name}: {len(studies)} studies")
    for name in NAMES:
        write_benchmark_page(name, options.results / name, options.out, pictures=pictures)


if __name__ == "__main__":
    main()

"""Pictures and tables of what was measured: ``python -m benchmarks.report``.

Reads ``benchmarks/results/*.jsonl`` (speed and memory) and ``benchmarks/results/*.json`` (accuracy),
writes ``docs/benchmarks/results.md`` and, where matplotlib is installed, one picture a benchmark. From
``benchmarks/results/graph/*.jsonl`` it makes ``docs/benchmarks/graph.md`` and its pictures.
"""

import argparse
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from benchmarks.graph.figures import by_machine
from benchmarks.graph.lines import read_lines
from benchmarks.graph.page import page as graph_page
from benchmarks.graph.pictures import draw_all
from benchmarks.harness import OURS, PLAIN, REPOSITORY, TOTAL

RESULTS = REPOSITORY / "benchmarks" / "results"
DOCS = REPOSITORY / "docs" / "benchmarks"
COMMAND = "python -m benchmarks.report"

Record = dict[str, Any]


def read_records(folder: Path) -> tuple[list[Record], list[Record], list[Record]]:
    """Return the speed, memory and accuracy records of a folder, in the order of the file names."""
    lines = [
        json.loads(line)
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    memory = [line for line in lines if line["benchmark"] == "graph memory"]
    speed = [line for line in lines if line["benchmark"] != "graph memory"]
    accuracy = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json"))]
    return speed, memory, [record for record in accuracy if record["benchmark"] == "accuracy"]


def grouped(speed: Sequence[Record]) -> dict[str, dict[str, dict[str, dict[str, Record]]]]:
    """Return benchmark -> data set -> phase -> way -> record; of equal ones the last counts."""
    groups: dict[str, dict[str, dict[str, dict[str, Record]]]] = {}
    for cell in speed:
        phases = groups.setdefault(cell["benchmark"], {}).setdefault(cell["dataset"], {})
        phases.setdefault(cell["phase"], {})[cell["way"]] = cell
    return groups


def speed_lines(phases: Mapping[str, Mapping[str, Record]]) -> Iterator[str]:
    """Yield one table in Markdown: a row for each phase, then what it was measured on."""
    yield "| phase | mmgraph [s] | plain way [s] | ratio (best to best) |"
    yield "|---|--:|--:|--:|"
    for phase, ways in phases.items():
        ours, plain = ways[OURS], ways[PLAIN]
        best = plain["best_s"] / max(ours["best_s"], 1e-9)
        cells = (
            phase,
            _seconds(ours),
            _seconds(plain),
            f"{ours['ratio']:.2f} ({best:.2f})",
        )
        mark = "**" if phase == TOTAL else ""
        yield "| " + " | ".join(f"{mark}{cell}{mark}" for cell in cells) + " |"
    ours, plain = phases[TOTAL][OURS], phases[TOTAL][PLAIN]
    yield _row("processor seconds", ours["cpu_median_s"], plain["cpu_median_s"], ".3f")
    if ours["peak_mib"] is not None:
        yield _row("peak memory [MiB]", ours["peak_mib"], plain["peak_mib"], ".0f")
    yield ""
    yield f"`{ours['command']}`"
    yield ""
    yield f"{_machine(ours['environment'])}, {ours['settings']['threads']} threads; " + (
        f"load of the machine {ours['environment']['load_average']} when it ended, "
        f"{ours['measured_at'][:10]}."
    )
    if ours["quality"]:
        shown = "; ".join(f"{name} {value:.6g}" for name, value in ours["quality"].items())
        yield ""
        yield f"Agreement of the two ways: {shown}."


def _row(name: str, ours: float, plain: float, form: str) -> str:
    return f"| {name} | {ours:{form}} | {plain:{form}} | {plain / max(ours, 1e-9):.2f} |"


def _seconds(cell: Record) -> str:
    return f"{cell['median_s']:.4g} ({cell['q25_s']:.3g} – {cell['q75_s']:.3g})"


def _machine(environment: Record) -> str:
    packages = environment["packages"]
    return (
        f"{environment['processor']}, {environment['cores']} cores; Python {environment['python']}, "
        f"torch {packages['torch']}, FAISS {packages['faiss-cpu']}, "
        f"sparse products by {environment['sparse_backend']}"
    )


def memory_lines(memory: Sequence[Record]) -> Iterator[str]:
    """Yield the table of the memory records."""
    yield "| data set | matrix | above the matrix [GB] | added by the building [GB] | limit [GB] | seconds |"
    yield "|---|---|--:|--:|--:|--:|"
    for cell in memory:
        yield (
            f"| {cell['dataset']} | {cell['num_items']:,} × {cell['dim']:,}, {cell['matrix']:.2f} GB "
            f"| {cell['above_matrix']:.2f} | {cell['added']:.2f} | {cell['limit']} "
            f"| {cell['seconds']:.0f} |"
        )
    yield ""
    yield from (f"`{cell['command']}`" for cell in memory)


def accuracy_lines(record: Record) -> Iterator[str]:
    """Yield the table of one comparison and its paired differences."""
    names = list(record["models"][0]["test"])
    yield "| model | " + " | ".join(names) + " | s/epoch | epochs | parameters |"
    yield "|---|" + "--:|" * (len(names) + 3)
    for model in record["models"]:
        seconds = model["epoch_s_median"]
        cells = [
            model["label"],
            *(_spread(model["test"][name]) for name in names),
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


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def draw(benchmark: str, datasets: Mapping[str, Any], path: Path) -> None:
    """Draw the ratios of one benchmark as bars, a colour for each data set."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    bars = [
        (f"{phase}\n{name}" if len(datasets) > 1 else phase, number, ways[OURS]["ratio"])
        for number, (name, phases) in enumerate(datasets.items())
        for phase, ways in phases.items()
    ]
    figure, axes = plt.subplots(figsize=(7, 0.8 + 0.42 * len(bars)), layout="constrained")
    places = range(len(bars))[::-1]
    for place, (_, number, ratio) in zip(places, bars, strict=True):
        axes.barh(place, ratio - 1, left=1, color=f"C{number}", height=0.7)
        axes.text(max(ratio, 1) * 1.05, place, f"{ratio:.2g}×", va="center")
    axes.set_yticks(places, [b[0] for b in bars])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(min(0.5, *(b[2] / 1.5 for b in bars)), 2 * max(2, *(b[2] for b in bars)))
    axes.set_xlabel("seconds of the plain way / seconds of mmgraph (right of the line: faster)")
    axes.set_title(f"{benchmark}: {', '.join(datasets)}")
    axes.spines[["top", "right"]].set_visible(False)
    # Without a date and a version in the file, the same numbers give the same bytes.
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def page(
    speed: Sequence[Record], memory: Sequence[Record], accuracy: Sequence[Record], *, pictures: bool
) -> str:
    """Return the whole page in Markdown."""
    lines = [
        "# Results",
        "",
        f"Made by `{COMMAND}` from `benchmarks/results`; edit the programs, not this page. Seconds are",
        "medians with quartiles. Both ways alternate in one run, and a ratio is the median over the",
        "repeats of (seconds of the plain way / seconds of mmgraph): above 1, mmgraph is faster.",
    ]
    for benchmark, datasets in grouped(speed).items():
        lines += ["", f"## {benchmark.capitalize()}"]
        if pictures:
            lines += ["", f"![Ratios of {benchmark}]({_slug(benchmark)}.png)"]
        for dataset, phases in datasets.items():
            lines += ["", f"### {benchmark.capitalize()}, {dataset}", "", *speed_lines(phases)]
    if memory:
        lines += ["", "## Memory of building the graphs", "", *memory_lines(memory)]
    for record in accuracy:
        title = f"## Test metrics, {record['dataset']}"
        lines += ["", title, "", *accuracy_lines(record)]
    return "\n".join(lines) + "\n"


def _slug(benchmark: str) -> str:
    return benchmark.replace(" ", "_")


def write_graph_page(folder: Path, out: Path, *, pictures: bool) -> None:
    """Write the page about building graphs from the result files of a folder."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in read_lines(path)]
    features = [line for line in lines if line["benchmark"] == "features"]
    machines = by_machine(line for line in lines if line["benchmark"] == "graph")
    drawn = {}
    for name, members in machines.items():
        prefix = "graph_" + "_".join(re.findall("[a-z0-9]+", name.lower()))
        drawn[name] = draw_all(members, out, prefix) if pictures else []
    target = out / "graph.md"
    target.write_text(graph_page(machines, features, drawn), encoding="utf-8")
    print(f"{target.name}: {len(lines)} lines")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description="Pictures and tables of what was measured.")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the page and pictures")
    options = parser.parse_args(arguments)
    speed, memory, accuracy = read_records(options.results)
    pictures = importlib.util.find_spec("matplotlib") is not None
    options.out.mkdir(parents=True, exist_ok=True)
    if pictures:
        for benchmark, datasets in grouped(speed).items():
            draw(benchmark, datasets, options.out / f"{_slug(benchmark)}.png")
    else:
        print("matplotlib is not installed: no pictures")
    target = options.out / "results.md"
    target.write_text(page(speed, memory, accuracy, pictures=pictures), encoding="utf-8")
    print(f"{target.name}: {len(speed) + len(memory)} measurements, {len(accuracy)} comparisons")
    write_graph_page(options.results / "graph", options.out, pictures=pictures)


if __name__ == "__main__":
    main()

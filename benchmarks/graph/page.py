"""The page about building graphs: ``docs/benchmarks/graph.md``, made from JSON lines."""

from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.cells import identity
from benchmarks.columns import Line, remark
from benchmarks.figures import growth, section
from benchmarks.graph.benchmark import BENCHMARK
from benchmarks.graph.figures import LEAST_ROWS
from benchmarks.markdown import (
    COMMAND,
    benchmark_page,
    cell_tables,
    growth_tables,
    not_measured,
    phase_tables,
    picture,
    seconds,
)

_EXACT = ("mmgraph", "faiss-flat", "torch-dense")
_PICTURES = {
    "ratio": "Seconds of FAISS flat over seconds of mmgraph",
    "time": "Seconds against the number of items",
    "memory": "Memory against the number of items",
    "recall": "Recall against seconds",
}
_INTRODUCTION = f"""\
# Building graphs

Made by `{COMMAND}` from `benchmarks/results/graph`; edit the programs, not this page. Measured by
`python -m benchmarks graph` (`make bench`), which runs on your machine too: profile `fast` takes about a minute.

- **Ratios** (times as fast as) come from methods that took turns in one process on the same threads: the median over
  the repeats of (seconds of the other / seconds of this one). FAISS flat and dense torch do not pay here for bringing
  rows to length one; mmgraph pays for everything it does.
- **Memory** is how far the resident memory of a process of its own rises above what is there when the libraries are
  loaded, the features made, and what allocators keep given back; so the seconds beside it include getting it again.
- **Compiling** belongs to the warm-up and not to the seconds, nor to the memory: pynndescent, and with it
  `mmgraph-nndescent`, compiles for about twenty seconds in every process.
- **Recall** is the share of the true k nearest that a method found, against float64 on 200 rows.
- **GEMM share** is 2 N² d / seconds over the float32 operations per second that `torch.mm` reached between the
  repeats. A self-join does half of the products, and in low precision, so it can exceed 1.
"""


def _sections(lines: Sequence[Line], drawn: Sequence[str]) -> Iterator[str]:
    tables = partial(cell_tables, BENCHMARK, note=_note, details=_details)
    duels = section(lines, "duel", what="knn")
    if duels:
        yield from ("", "### Exact neighbours, in turn with FAISS flat and dense torch")
        yield from _picture(drawn, "ratio")
        yield from ("", *overview(duels, section(lines, "alone", what="knn")))
    rivals = section(lines, "rivals", what="knn")
    if rivals:
        yield from ("", "### Other libraries")
        yield from tables(rivals)
    catalogue = section(lines, "catalogue", what="knn")
    if catalogue:
        yield from ("", "### A catalogue of a million")
        yield from tables(catalogue)
    yield from _picture(drawn, "recall")
    disk = section(lines, "disk", what="knn")
    if disk:
        yield from ("", "### Features on disk", "")
        yield "What counts here is memory: other programs ran at the same time, and seconds include waiting for them."
        yield from tables(disk)
    yield from _scaling(lines, drawn)
    for what, title in (("cointeraction", "Co-interaction"), ("build", "Whole builds")):
        found = section(lines, "duel", "alone", what=what)
        if found:
            yield from ("", f"### {title}")
            yield from tables(found)
        if found and what == "build":
            yield from phase_tables(BENCHMARK, found)


def _picture(drawn: Sequence[str], stem: str) -> Iterator[str]:
    return picture(drawn, stem, _PICTURES[stem])


def overview(duels: Sequence[Line], alone: Sequence[Line]) -> Iterator[str]:
    """Yield a table with a row for each duel: what mmgraph did, and the others next to it."""
    cells: dict[str, dict[str, Line]] = {}
    for line in duels:
        cells.setdefault(identity(line["cell"]), {})[line["method"]] = line
    memory = {(_size(line), line["method"]): line.get("peak_mib") for line in alone}
    yield (
        "| features | size | by | mmgraph [s] | FAISS flat [s] | dense torch [s] | FAISS / mmgraph "
        "| dense / mmgraph | GEMM share | peak MiB: mmgraph, FAISS, dense |"
    )
    yield "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|"
    for methods in cells.values():
        first = next(iter(methods.values()))
        ours = methods.get("mmgraph", {})
        ratios = ours.get("ratios", {})
        settings, share = ours.get("settings", {}), ours.get("share_of_peak")
        peaks = [memory.get((_size(first), name)) for name in _EXACT]
        row = [
            first["cell"]["data"],
            f"{first['cell']['rows']:,} × {first['cell']['dim']:,}",
            ", ".join(settings[key] for key in ("method", "precision") if key in settings),
            *(seconds(methods.get(name)) for name in _EXACT),
            *(f"**{ratios[name]:.2f}**" if name in ratios else "" for name in _EXACT[1:]),
            "" if share is None else f"{share:.2f}",
            ", ".join("–" if peak is None else f"{peak:,.0f}" for peak in peaks)
            if any(peaks)
            else "",
        ]
        yield "| " + " | ".join(row) + " |"
    cell = duels[0]["cell"]
    yield from (
        "",
        f"k = {cell['k']}, {cell['threads']} threads; medians of {cell['repeats']} (quartiles).",
    )
    yield from not_measured([*duels, *alone], _size)


def _size(line: Line) -> str:
    cell = line["cell"]
    return f"{cell['data']} {cell['rows']:,} × {cell['dim']:,}"


def _details(line: Line) -> str:
    return f"k = {line['cell']['k']}, " if line["cell"]["what"] == "knn" else ""


def _note(line: Line) -> str:
    """Return what a method decided; where features are on disk, also memory and processor time of the whole process."""
    settings = line["settings"]
    words = [settings.get("method", ""), settings.get("precision", ""), remark(line)]
    if line["cell"]["storage"] == "disk" and line.get("process_mib"):
        words.append(f"the whole process {line['process_mib'] / 1024:.2f} GiB")
        words.append(f"{line['cpu_median_s']:,.0f} s of both cores together")
    return ", ".join(word for word in words if word)


def _scaling(lines: Sequence[Line], drawn: Sequence[str]) -> Iterator[str]:
    found = section(lines, "scaling", what="knn")
    parts = {
        "seconds": growth(found, "median_s", "rows"),
        "peak MiB": growth(found, "peak_mib", "rows"),
    }
    if not parts["seconds"]:
        return
    cell = found[0]["cell"]
    yield from ("", "### Growth", "")
    yield f"{cell['data']} features of {cell['dim']} columns, k = {cell['k']}, {cell['threads']} threads;"
    yield "exponents are fitted from 10,000 items on."
    yield from _picture(drawn, "time")
    yield from _picture(drawn, "memory")
    yield from growth_tables(parts, LEAST_ROWS)
    yield from not_measured(found, lambda line: f"{line['cell']['rows']:,} items")


def _features(features: Sequence[Line]) -> Iterator[str]:
    yield from ("", "## The features", "")
    yield "Clustered features lie around one centre for each hundred rows in 64 latent dimensions, mapped linearly to"
    yield "their width and cut at zero. Their clusters are tighter than those of real image features; imagelike ones"
    yield "are loosened until they look like them. Isotropic features are independent normal numbers: no structure."
    yield from ("", "| features | size | mean cosine | cosine of the tenth neighbour | zeros |")
    yield "|---|--:|--:|--:|--:|"
    for line in features:
        yield (
            f"| {line['name']} | {line['rows']:,} × {line['dim']:,} | {line['mean_cosine']:.3f} "
            f"| {line['tenth_cosine']:.3f} | {line['zeros']:.1%} |"
        )
    yield ""
    yield from dict.fromkeys(f"- `{line['command']}`" for line in features)


page = partial(benchmark_page, _INTRODUCTION, _sections, appendix=_features)
"""Return the page, as :func:`benchmarks.markdown.benchmark_page` does, from machines, pictures and other lines."""

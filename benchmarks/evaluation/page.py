"""The page about full ranking: ``docs/benchmarks/evaluation.md``, made from JSON lines."""

from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.cells import OK, OURS, PLAIN
from benchmarks.columns import MEMORY, Line
from benchmarks.evaluation.benchmark import BENCHMARK
from benchmarks.evaluation.figures import ranking_pairs
from benchmarks.figures import section
from benchmarks.markdown import (
    COMMAND,
    benchmark_page,
    header,
    not_measured,
    phase_tables,
    picture,
    seconds,
)

_INTRODUCTION = f"""\
# Full ranking

Made by `{COMMAND}` from `benchmarks/results/evaluation`; edit the programs, not this page. Measured by
`python -m benchmarks evaluation` (`make bench`), which runs on your machine too: profile `fast` takes about a minute.

All items are ranked for every user who has test items, training items left out, and six metrics are computed at four
list lengths. The vectors are drawn, because what they mean has no influence on the seconds.

- **The plain way** scores a block of users, sorts all scores and looks every item up in a Python set.
- **Ratios** come from ways that took turns in one process on the same threads: the median over the repeats of (seconds
  of the plain way / seconds of mmgraph).
- **Difference** is the largest between any metric of any user of the two. The vectors of these runs are on a grid on
  which inner products are exact, so both ways must find the same lists.
- **Memory** is how far the resident memory of a process of its own rises, from before the index of what was seen is
  made.
"""


def _sections(lines: Sequence[Line], drawn: Sequence[str]) -> Iterator[str]:
    duels, alone = section(lines, "duel"), section(lines, "alone")
    if duels:
        yield from ("", "### In turn with the plain way")
        yield from picture(drawn, "ratio", "Seconds of the plain way over seconds of mmgraph")
        yield from ("", *_overview(duels, alone))
        yield from phase_tables(BENCHMARK, duels)
    yield from _blocks(section(lines, "blocks"), drawn)


def _overview(duels: Sequence[Line], alone: Sequence[Line]) -> Iterator[str]:
    peaks = {(x["cell"]["data"], x["method"]): x.get("peak_mib") for x in alone}
    yield from header(
        [
            "data set",
            "users",
            "mmgraph [s]",
            "plain way [s]",
            "plain / mmgraph",
            "difference",
            "peak MiB: mmgraph, plain",
        ],
        left=("data set",),
    )
    for ours, plain in ranking_pairs(duels):
        name = ours["cell"]["data"]
        memory = [peaks.get((name, way)) for way in (OURS, PLAIN)]
        shown = ", ".join("–" if peak is None else f"{peak:,.0f}" for peak in memory)
        yield (
            f"| {name} | {ours['settings']['users']:,} | {seconds(ours)} | {seconds(plain)} "
            f"| **{ours['ratios'][PLAIN]:.2f}** | {ours['difference']:.1e} | {shown} |"
        )
    cell = duels[0]["cell"]
    yield ""
    yield (
        f"{cell['dim']} dimensions, blocks of {cell['block']:,} users, {cell['threads']} threads; "
        f"medians of {cell['repeats']} (quartiles)."
    )
    yield from not_measured([*duels, *alone], lambda line: str(line["cell"]["data"]))


def _blocks(lines: Sequence[Line], drawn: Sequence[str]) -> Iterator[str]:
    """Yield for each data set a table with a row for each block size."""
    if not lines:
        return
    yield from ("", "### Block sizes", "")
    yield "Vectors whose products are rounded, as those of a model are. The digest is that of all metrics of all users."
    yield from picture(drawn, "blocks", "Memory against the block size")
    for name in dict.fromkeys(line["cell"]["data"] for line in lines):
        members = [x for x in lines if x["cell"]["data"] == name and x["status"] == OK]
        members.sort(key=lambda line: line["cell"]["block"])
        if not members:
            continue
        equal = len({line["digest"] for line in members}) == 1
        said = "the same metrics to the last bit" if equal else "metrics differ"
        yield from ("", f"{name}, {members[0]['cell']['threads']} threads: {said}.", "")
        shown = [column for column in MEMORY if any(column.show(line) for line in members)]
        headings = ["users at once", "seconds", *(column.heading for column in shown), "digest"]
        yield from header(headings, left=("digest",))
        for line in members:
            memory = [column.show(line) for column in shown]
            cells = [f"{line['cell']['block']:,}", seconds(line), *memory, line["digest"]]
            yield "| " + " | ".join(cells) + " |"
    yield from not_measured(lines, lambda line: BENCHMARK.cell.from_json(line["cell"]).title())


page = partial(benchmark_page, _INTRODUCTION, _sections)
"""Return the page, as :func:`benchmarks.markdown.benchmark_page` does, from machines, pictures and other lines."""

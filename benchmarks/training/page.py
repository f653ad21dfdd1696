"""The page about training: ``docs/benchmarks/training.md``, made from JSON lines."""

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import mean

from benchmarks.cells import OK, OURS, PLAIN
from benchmarks.columns import Line, remark
from benchmarks.figures import growth, pairs_of, section
from benchmarks.markdown import (
    COMMAND,
    benchmark_page,
    cell_tables,
    growth_tables,
    header,
    not_measured,
    phase_tables,
    picture,
    seconds,
)
from benchmarks.training.benchmark import BENCHMARK
from benchmarks.training.figures import AXES, LEAST_EDGES, axis_lines, epoch_name, epoch_pairs
from benchmarks.training.kinds import KINDS
from mmgraph.cli.study import spread

_INTRODUCTION = f"""\
# Training

Made by `{COMMAND}` from `benchmarks/results/training`; edit the programs, not this page. Measured by
`python -m benchmarks training` (`make bench`), which runs on your machine too: profile `fast` takes about two minutes.

- **Ratios** (times as fast as) come from ways that took turns in one process on the same threads: the median over the
  repeats of (seconds of the other / seconds of this one).
- **The plain way** is what a first version would have: COO products, negatives drawn one by one in Python, Adam with
  its defaults. FREEDOM's has feature tables that learn, as in the authors' code: every item projected in every step,
  Adam over all of it. MARGO's is its second stage on DRAGON: COO products, and as in DRAGON's code the 40 neighbours
  of every user gathered in every step; its features do not learn, though the code declares copies that would. That of
  any other system is the system's own equations with COO products and negatives one by one, every item encoded in
  every step, whole matrices of similarities, and MAML's network on each pair's three vectors side by side.
- **Memory** is how far the resident memory of a process of its own rises from before the model is made to the end of
  the first epoch; **process MiB** is the most that this process ever held, libraries and data included.
- **Bound** is the least time of a phase: the bytes it has to move over those a second that this machine copies, or its
  additions and multiplications over those that `torch.mm` reaches in float32, whichever is longer, both measured in the
  same run. Each array counts once for each operation that needs it. **Gathered** counts the rows that a sparse product
  reads for each edge as moved too. A share above 1 says that arrays stayed in a cache between operations.
"""


def _sections(lines: Sequence[Line], drawn: Sequence[str]) -> Iterator[str]:
    tables = partial(cell_tables, BENCHMARK, note=_note)
    duels = section(lines, "duel", what="epoch")
    if duels:
        yield from ("", "### An epoch of LightGCN, in turn with the plain way")
        yield from picture(drawn, "epoch", "Seconds of an epoch by phase")
        yield from ("", *_overview(duels))
        yield from _bounds(duels)
    steps = section(lines, "step", what="step")
    if steps:
        yield from ("", "### Steps on wide features")
        yield from tables(steps)
        yield from phase_tables(BENCHMARK, steps)
    yield from _systems(lines)
    alone = section(lines, "alone")
    if alone:
        yield from ("", "### Memory")
        yield from tables(alone)
    yield from _kernels(lines, drawn)
    yield from _scaling(lines, drawn)
    yield from _precision(lines)


def _note(line: Line) -> str:
    return str(line["settings"].get("backend", "")) if line["status"] == OK else remark(line)


def _systems(lines: Sequence[Line]) -> Iterator[str]:
    """Yield for each data set a row for each system."""
    found = section(lines, "systems", what="system")
    if not found:
        return
    yield from ("", "### An epoch of every system", "")
    cell = found[0]["cell"]
    threads = f"{cell['threads']} thread{'s' if cell['threads'] > 1 else ''}"
    yield "Each from the recipe that is shipped for the data set, or its defaults where there is none; both ways"
    yield f"from the same weights, {threads}, batch {cell['batch']:,}, medians of {cell['repeats']} (quartiles)."
    yield "A row is one epoch of each stage: MARGO has two, and its seconds are those of both together. MMGCN was timed"
    yield "with two layers; its recipes have had one since a second search."
    yield "Shares are of the processor's time of one epoch under torch's profiler: drawing samples, sparse products,"
    yield "what is made of raw features, the optimiser, and criteria, gathering and all else; each with its gradients."
    for name in dict.fromkeys(line["cell"]["data"] for line in found):
        members = [line for line in found if line["cell"]["data"] == name]
        yield from ("", f"On {name}:", "")
        head = ["system", "parameters", "mmgraph [s]", "plain way [s]", "plain / mmgraph", *KINDS]
        yield from header(head, left=("system",))
        for ours, plain in pairs_of(members, OURS, PLAIN):
            shares = " | ".join(f"{ours['shares'][kind]:.0%}" for kind in KINDS)
            yield (
                f"| {ours['cell']['model']} | {ours['num_parameters']:,} | {seconds(ours)} "
                f"| {seconds(plain)} | **{ours['ratios'][PLAIN]:.2f}** | {shares} |"
            )
        yield from not_measured(members, lambda line: str(line["cell"]["model"]))


def _overview(duels: Sequence[Line]) -> Iterator[str]:
    yield from header(
        ["data set", "mmgraph [s]", "plain way [s]", "plain / mmgraph", "loss of both", "backend"],
        left=("data set", "backend"),
    )
    for ours, plain in epoch_pairs(duels):
        losses = f"{ours['loss']:.4f}, {plain['loss']:.4f}"
        yield (
            f"| {epoch_name(ours, duels)} | {seconds(ours)} | {seconds(plain)} "
            f"| **{ours['ratios'][PLAIN]:.2f}** | {losses} | {_note(ours)} |"
        )
    cell = duels[0]["cell"]
    yield ""
    yield (
        f"{cell['layers']} layers, {cell['dim']} dimensions, batch {cell['batch']:,}, {cell['threads']} threads; "
        f"medians of {cell['repeats']} (quartiles). The loss is that of the last of as many epochs on both sides."
    )
    yield from not_measured(duels, lambda line: str(line["cell"]["data"]))


def _bounds(duels: Sequence[Line]) -> Iterator[str]:
    """Yield for each data set the phases of both ways, the bound of each and how near ours is."""
    for ours, plain in epoch_pairs(duels):
        machine = ours["machine"]
        yield ""
        yield (
            f"Phases on {epoch_name(ours, duels)}; this machine copied {machine['gbytes']:.1f} GB/s and multiplied "
            f"at {machine['gflops']:.0f} GFLOP/s:"
        )
        yield ""
        yield from header(
            [
                "phase",
                OURS,
                PLAIN,
                "ratio",
                "GB",
                "GFLOP",
                "bound [s]",
                "bound / mmgraph",
                "gathered",
            ],
            left=("phase",),
        )
        for phase, mine in ours["phases"].items():
            theirs, bound = plain["phases"].get(phase, 0.0), ours["bounds"].get(phase)
            figures = [f"{mine:.4g}", f"{theirs:.4g}", f"{theirs / max(mine, 1e-9):.2f}"]
            if bound is None:
                figures += [""] * 5
            else:
                figures += [f"{bound[key]:.3g}" for key in ("gbytes", "gflop", "bound_s")]
                figures += [f"{bound[key]:.2f}" for key in ("share", "gathered_share")]
            yield f"| {phase} | " + " | ".join(figures) + " |"


def _kernels(lines: Sequence[Line], drawn: Sequence[str]) -> Iterator[str]:
    found = section(lines, "kernels", what="product")
    if not found:
        return
    yield from ("", "### Sparse products, forward and backward", "")
    yield "One product of a symmetric matrix with float32 rows, and the gradient of the rows. mmgraph is the backend"
    yield "that the library chooses, named in the last column; a ratio below 1 is slower than it. The difference is the"
    yield "largest from float64 in 200 rows of the product and of the gradient."
    yield from picture(drawn, "kernels", "Seconds of a sparse product against entries")
    yield from cell_tables(BENCHMARK, found, note=_note)


def _scaling(lines: Sequence[Line], drawn: Sequence[str]) -> Iterator[str]:
    found = section(lines, "scaling", what="step")
    if not found:
        return
    yield from ("", "### Growth of a LightGCN step", "")
    yield "Made interactions, ten for each node and each two entries of the matrix; a process for each size. The epoch"
    yield "is extrapolated: the samples of the whole epoch, then as many steps as it has. Exponents over interactions"
    yield f"are fitted from {LEAST_EDGES:,.0f} on."
    yield from picture(drawn, "step", "Seconds of a step against interactions")
    yield from picture(drawn, "memory", "Memory against interactions")
    for axis, what in AXES.items():
        members = axis_lines(found, axis)
        figures = {
            "seconds of a step": "median_s",
            "seconds of an epoch": "epoch_s",
            "peak MiB": "peak_mib",
            "process MiB": "life_mib",
            "GPU MiB": "device_peak_mib",
        }
        series = {name: growth(members, key, axis).get(OURS, []) for name, key in figures.items()}
        if len({line["cell"][axis] for line in members}) > 1:
            yield from growth_tables({what: series}, LEAST_EDGES if axis == "edges" else 0.0)
    yield from not_measured(found, lambda line: BENCHMARK.cell.from_json(line["cell"]).title())


def _precision(lines: Sequence[Line]) -> Iterator[str]:
    """Yield a table with the means over the seeds of both precisions on each data set."""
    found = section(lines, "precision", what="fit")
    pairs = pairs_of(found, "bfloat16", "float32")
    if pairs:
        yield from ("", "### bfloat16 against float32", "")
        yield "The same epochs, seeds and batches; recall@20 on validation after the last epoch, mean over the seeds."
        yield ""
        headings = [
            "seconds: float32",
            "bfloat16",
            "ratio",
            "recall@20: float32",
            "bfloat16",
            "difference",
        ]
        yield from header(["data set", "epochs", "seeds", *headings], left=("data set",))
    for name in dict.fromkeys(low["cell"]["data"] for low, _ in pairs):
        members = [(low, full) for low, full in pairs if low["cell"]["data"] == name]
        took = [mean(pair[side]["median_s"] for pair in members) for side in (1, 0)]
        recall = [[pair[side]["valid_recall"] for pair in members] for side in (1, 0)]
        ratio = mean(low["ratios"]["float32"] for low, _ in members)
        yield (
            f"| {name} | {members[0][0]['cell']['epochs']} | {len(members)} | {took[0]:.3g} | {took[1]:.3g} "
            f"| {ratio:.2f} | {spread(recall[0])} | {spread(recall[1])} "
            f"| {mean(recall[1]) - mean(recall[0]):+.4f} |"
        )
    # The seeds of a data set fail alike.
    left = [line for line in found if line["status"] != OK]
    told = (f"{x['cell']['data']}: {x['status']}, {x['reason']}." for x in left)
    yield from (f"\n{sentence}" for sentence in dict.fromkeys(told))


page = partial(benchmark_page, _INTRODUCTION, _sections)
"""Return the page, as :func:`benchmarks.markdown.benchmark_page` does, from machines, pictures and other lines."""

"""The page about building graphs: ``docs/benchmarks/graph.md``, made from JSON lines."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.graph.cells import OK, from_json, identity
from benchmarks.graph.figures import Line, fitted_exponent, growth, section

COMMAND = "python -m benchmarks.report"

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
  loaded and the features made.
- **Recall** is the share of the true k nearest that a method found, against float64 on 200 rows.
- **GEMM share** is 2 N² d / seconds over the float32 operations per second that `torch.mm` reached between the
  repeats. A self-join does half of the products, and in low precision, so it can exceed 1.
"""


def page(
    machines: Mapping[str, Sequence[Line]],
    features: Sequence[Line],
    pictures: Mapping[str, list[str]],
) -> str:
    """Return the page in Markdown.

    Args:
        machines: Machine -> its lines, see :func:`benchmarks.graph.figures.by_machine`.
        features: Lines of the comparison of made features with real ones.
        pictures: Machine -> names of its pictures, without suffix.
    """
    lines = [_INTRODUCTION.rstrip()]
    if not machines:
        lines += ["", "No results yet."]
    for name, members in machines.items():
        lines += ["", f"## {name}", "", _machine(members)]
        lines += _sections(members, pictures.get(name, []))
    if features:
        lines += ["", "## The features", "", *_feature_lines(features)]
    return "\n".join(lines) + "\n"


def _sections(lines: Sequence[Line], drawn: Sequence[str]) -> Iterator[str]:
    def picture(stem: str) -> Iterator[str]:
        for name in drawn:
            if name.endswith(stem):
                yield from ("", f"![{_PICTURES[stem]}]({name}.png)")

    duels = section(lines, "duel")
    if duels:
        yield from ("", "### Exact neighbours, in turn with FAISS flat and dense torch")
        yield from picture("ratio")
        yield from ("", *overview(duels, section(lines, "alone")))
    rivals = section(lines, "rivals")
    if rivals:
        yield from ("", "### Other libraries")
        yield from _tables(rivals)
    catalogue = section(lines, "catalogue")
    if catalogue:
        yield from ("", "### A catalogue of a million")
        yield from _tables(catalogue)
    yield from picture("recall")
    disk = section(lines, "disk")
    if disk:
        yield from ("", "### Features on disk")
        yield from _tables(disk)
    yield from _scaling(lines, picture)
    for what, title in (("cointeraction", "Co-interaction"), ("build", "Whole builds")):
        found = section(lines, "duel", "alone", what=what)
        if found:
            yield from ("", f"### {title}")
            yield from _tables(found)
        if found and what == "build":
            yield from _build_phases(found)


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
            *(_seconds(methods.get(name)) for name in _EXACT),
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
    for line in (*duels, *alone):
        if line["status"] != OK:
            yield from ("", f"{line['method']}, {_size(line)}: {line['status']}, {line['reason']}.")


def _size(line: Line) -> str:
    cell = line["cell"]
    return f"{cell['data']} {cell['rows']:,} × {cell['dim']:,}"


def _seconds(line: Line | None) -> str:
    if line is None or line["status"] != OK:
        return "" if line is None else str(line["status"])
    if len(line["seconds"]) == 1:
        return f"{line['median_s']:.3g}"
    return f"{line['median_s']:.3g} ({line['q25_s']:.3g} – {line['q75_s']:.3g})"


def _tables(lines: Sequence[Line]) -> Iterator[str]:
    """Yield a table for each piece of work; lines of methods apart stand together."""
    groups: dict[tuple[str, bool], list[Line]] = {}
    for line in lines:
        cell = from_json(line["cell"])
        groups.setdefault((cell.title(), cell.alone), []).append(line)
    for (title, alone), members in groups.items():
        cell = from_json(members[0]["cell"])
        how = "each in a process of its own" if alone else "in turn"
        details = f"k = {cell.k}, " if cell.what == "knn" else ""
        yield from (
            "",
            f"{title.replace(' x ', ' × ')}: {details}{cell.threads} threads, {how}",
            "",
        )
        yield from markdown_rows(members)


def markdown_rows(lines: Sequence[Line]) -> Iterator[str]:
    """Yield a table with a row for each method; columns that nobody fills are left out."""
    headings = (
        "method",
        "seconds",
        "times as fast as",
        "recall",
        "GEMM share",
        "peak MiB",
        "remark",
    )
    rows = [_row(line) for line in lines]
    kept = [place for place in range(len(headings)) if any(row[place] for row in rows)]
    yield "| " + " | ".join(headings[place] for place in kept) + " |"
    yield (
        "|" + "|".join("---" if headings[p] in ("method", "remark") else "--:" for p in kept) + "|"
    )
    for row in rows:
        yield "| " + " | ".join(row[place] for place in kept) + " |"


def _row(line: Line) -> list[str]:
    method = f"**{line['method']}**" if line["method"].startswith("mmgraph") else line["method"]
    if line["status"] != OK:
        reason = line["reason"].replace("|", "\\|")
        told = reason if line["status"] in reason else f"{line['status']}: {reason}"
        return [method, "", "", "", "", "", told]
    ratios = ", ".join(f"{other} {value:.2f}" for other, value in line["ratios"].items())
    quality = line.get("recall", line.get("shared"))
    share, peak = line.get("share_of_peak"), line.get("peak_mib")
    decided = line["settings"].get("method", "")
    precision = line["settings"].get("precision", "")
    return [
        method,
        _seconds(line),
        ratios,
        "" if quality is None else f"{quality:.4f}",
        "" if share is None else f"{share:.2f}",
        "" if peak is None else f"{peak:,.0f}",
        ", ".join(word for word in (decided, precision, _total(line)) if word),
    ]


def _total(line: Line) -> str:
    if line["cell"]["storage"] != "disk" or not line.get("process_mib"):
        return ""
    return f"the whole process {line['process_mib'] / 1024:.2f} GiB"


def _scaling(lines: Sequence[Line], picture: Any) -> Iterator[str]:
    seconds, memory = growth(lines, "median_s"), growth(lines, "peak_mib")
    if not seconds:
        return
    cell = section(lines, "scaling")[0]["cell"]
    yield from ("", "### Growth", "")
    yield f"{cell['data']} features of {cell['dim']} columns, k = {cell['k']}, {cell['threads']} threads;"
    yield "exponents are fitted from 10,000 items on."
    yield from picture("time")
    yield from picture("memory")
    sizes = sorted({rows for points in seconds.values() for rows, _ in points})
    shown = " | ".join(f"{rows:,.0f}" for rows in sizes)
    for title, series in (("seconds", seconds), ("peak MiB", memory)):
        if not series:
            continue
        yield from ("", f"| {title} | {shown} | exponent |", "|---|" + "--:|" * (len(sizes) + 1))
        for method, points in series.items():
            values = dict(points)
            slope = fitted_exponent(points)
            cells = [f"{values[rows]:.3g}" if rows in values else "" for rows in sizes]
            yield (
                "| " + " | ".join([method, *cells, "" if slope is None else f"{slope:.2f}"]) + " |"
            )
    left = [line for line in section(lines, "scaling") if line["status"] != OK]
    yield from (
        f"\n{line['method']} at {line['cell']['rows']:,}: {line['status']}, {line['reason']}."
        for line in left
    )


def _build_phases(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the phases of the builds that took turns: the user-user graph is one of them."""
    for line in lines:
        others = [
            other
            for other in lines
            if other["cell"] == line["cell"]
            and other["method"] == "plain"
            and OK == other["status"] == line["status"]
        ]
        if line["method"] != "mmgraph" or not others:
            continue
        plain = others[0]
        title = from_json(line["cell"]).title()
        yield from ("", f"Phases of {title}, seconds:", "", "| phase | mmgraph | plain | ratio |")
        yield "|---|--:|--:|--:|"
        for phase, mine in line["phases"].items():
            theirs = plain["phases"].get(phase)
            if theirs is not None:
                yield f"| {phase} | {mine:.4g} | {theirs:.4g} | {theirs / max(mine, 1e-9):.2f} |"


def _feature_lines(features: Sequence[Line]) -> Iterator[str]:
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


def _machine(lines: Sequence[Line]) -> str:
    record = lines[-1]["environment"]
    packages = {**record["packages"], **record.get("rival_packages", {})}
    wanted = ("torch", "faiss-cpu", "numpy", "scipy", "pynndescent", "usearch", "scikit-learn")
    shown = ", ".join(f"{name} {packages[name]}" for name in wanted if packages.get(name))
    commits = sorted({line["environment"]["commit"] or "unknown" for line in lines})
    days = sorted({line["measured_at"][:10] for line in lines})
    return (
        f"{record['processor']}, {record['cores']} cores, {record['memory_gb']:.0f} GB; Python "
        f"{record['python']}, {shown}; commit {', '.join(commits)}; {' to '.join({days[0]: 0, days[-1]: 0})}."
    )

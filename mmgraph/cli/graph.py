"""``mmgraph graph``: build the graph of a data set, and look at one."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mmgraph.cli.console import (
    JsonFlag,
    command_line,
    format_seconds,
    print_json,
    print_next,
    print_table,
    results,
)

if TYPE_CHECKING:
    from mmgraph.graph import GraphConfig

CacheOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Keep built graphs here and find them again; off by default."),
]

app = typer.Typer(
    help="Build graphs and look at them.",
    epilog="Example: mmgraph graph build --dataset movielens-small --out graph/",
)


@app.command(
    epilog="Example: mmgraph graph build --dataset movielens-small --out graph/ --set k=20"
)
def build(
    dataset: Annotated[str, typer.Option(help="A data-set folder or a bundled name.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the graph, new or empty.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A GraphConfig key, such as k=20."),
    ] = None,
    cache: CacheOption = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a graph that is already there.")] = False,
    json: JsonFlag = False,
) -> None:
    """Build all graphs of a data set and save them with the hashes of what they were made from."""
    from mmgraph.cli.progress import observing
    from mmgraph.data import load_dataset
    from mmgraph.graph import BuildRecord, build_graph, check_target, graph_metadata, save_graph
    from mmgraph.run import check_place

    check_target(out, overwrite=overwrite)
    check_place(out)
    config = graph_config(set_ or [])
    begin = time.perf_counter()
    record = BuildRecord()
    with observing() as observer:
        observer.phase("read")
        loaded = load_dataset(dataset)
        record.seconds["read"] = time.perf_counter() - begin
        graph = build_graph(
            loaded,
            config,
            cache=cache,
            record=record,
            progress=observer.phase,
            advance=lambda share: observer.progress(int(100 * share), 100),
        )
        observer.phase("save")
        metadata = graph_metadata(loaded, config, record=record)
        save_graph(graph, out, metadata=metadata, overwrite=overwrite)
    counts = {"__".join(kind): graph[kind].edge_index.size(1) for kind in graph.edge_types}
    if json:
        nodes = {kind: int(graph[kind].num_nodes) for kind in graph.node_types}
        print_json({"graph": str(out), "nodes": nodes, "edges": counts, **metadata})
        return
    console = results()
    rows = [[phase, format_seconds(spent)] for phase, spent in record.seconds.items()]
    print_table(console, "Seconds of each phase", ["phase", "time"], rows)
    print_reports(console, record.reports)
    print_table(console, "Edges", ["type", "edges"], [*counts.items()])
    if record.cache is not None:
        how = "from the cache" if record.cache["found"] else "built for the cache"
        console.print(f"edges {how}: {record.cache['key']}", markup=False, soft_wrap=True)
    console.print(f"graph saved in {out}", markup=False, soft_wrap=True)
    print_next(console, [command_line("mmgraph", "graph", "inspect", out)])


@app.command(epilog="Example: mmgraph graph inspect graph/")
def inspect(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder from `mmgraph graph build`.")
    ],
    json: JsonFlag = False,
) -> None:
    """Show sizes, degrees, weights, and how often near items share users, against chance."""
    from mmgraph.graph import inspect_graph, load_graph, read_graph_metadata

    metadata = read_graph_metadata(folder)
    facts = inspect_graph(load_graph(folder))
    if json:
        names: tuple[str, ...] = ("config", "inputs", "seconds", "reports")
        known = {name: metadata[name] for name in names if name in metadata}
        print_json({"graph": str(folder), **facts, **known})
        return
    name = metadata.get("inputs", {}).get("dataset", folder)
    print_graph(results(), facts, title=f"Graph of {name}")
    print_reports(results(), metadata.get("reports", {}))


def graph_config(assignments: Sequence[str]) -> "GraphConfig":
    """Return the defaults changed by ``key=value`` assignments; a leading ``graph.`` may stand there.

    Raises:
        ConfigError: a key is unknown or a value breaks a rule.

    Example:
        >>> graph_config(["graph.k=20", "metric=l2"]).k
        20
    """
    from mmgraph.config import apply_overrides, parse_config
    from mmgraph.graph import GraphConfig

    values = apply_overrides({}, [text.strip().removeprefix("graph.") for text in assignments])
    return parse_config(GraphConfig, values, origin="--set")


def print_graph(console: Console, facts: Mapping[str, Any], *, title: str) -> None:
    """Show what ``inspect_graph`` found, as tables."""
    nodes = ", ".join(f"{count:,} {kind}s" for kind, count in facts["nodes"].items())
    rows = [_edge_row(name, edges) for name, edges in facts["edges"].items()]
    columns = ["edges", "count", "in-degree: min, quartiles, max", "isolated", "weights"]
    print_table(console, f"{title}: {nodes}", columns, rows)
    rows = [
        [name, m["dim"], m["coverage"], m.get("knn_share"), m.get("chance"), _ratio(m.get("ratio"))]
        for name, m in facts["modalities"].items()
    ]
    columns = [
        "modality",
        "dim",
        "coverage",
        "share a user",
        "by chance",
        "ratio",
    ]
    print_table(console, "Do near items share users?", columns, rows)


def print_reports(console: Console, reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Show how neighbours were searched and co-interactions counted, as tables; nothing without."""
    searches = [
        [
            phase,
            f"{report['method']}, {report['precision']}",
            report["recall"],
            report["num_searched"],
            report["num_without_edges"],
            f"{report['memory'] / 1e6:,.0f} MB",
            format_seconds(sum(report["seconds"].values())),
        ]
        for phase, report in reports.items()
        if phase.startswith("knn_")
    ]
    columns = ["search", "method", "recall", "searched", "without edges", "memory", "time"]
    if searches:
        print_table(console, "How neighbours were searched", columns, searches, left=2)
    limited = [
        [phase, report["partners_limited"], report["interactions_left_out"]]
        for phase, report in reports.items()
        if phase.startswith("co_") and report["partners_limited"]
    ]
    columns = ["counts", "partners limited", "interactions left out"]
    if limited:
        print_table(console, "What co_max_interactions left out", columns, limited)


def _edge_row(name: str, edges: Mapping[str, Any]) -> list[object]:
    quantiles = edges["in_degree"].values()
    degrees = None if None in quantiles else "  ".join(f"{value:g}" for value in quantiles)
    isolated = ", ".join(f"{count} {kind}s" for kind, count in edges["isolated"].items() if count)
    weight = edges["weight"]
    span = None if weight is None else f"{weight['min']:.2g} to {weight['max']:.2g}"
    return [name.replace("__", " "), edges["count"], degrees, isolated or None, span]


def _ratio(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} x"

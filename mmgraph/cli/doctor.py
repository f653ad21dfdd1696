"""``mmgraph doctor``: what is installed here, what can be used, and whether it computes what it should."""

import time
from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console

from mmgraph.cli.console import FAILED, JsonFlag, print_json, print_table, results, say

EXAMPLE = "Example: mmgraph doctor --json"

_TOLERANCE = 1e-5


def doctor(json: JsonFlag = False) -> None:
    """Show versions, devices and sparse backends, and check one product against dense algebra."""
    import faiss
    import torch

    from mmgraph.export import environment
    from mmgraph.sparse import available_backends

    devices = find_devices()
    report: dict[str, Any] = {
        **environment(),
        "interop_threads": torch.get_num_interop_threads(),
        "devices": devices,
        "sparse_backends": {kind: available_backends(kind) for kind in devices},
        "faiss": {
            "compile_options": faiss.get_compile_options().strip(),
            "threads": faiss.omp_get_max_threads(),
        },
        "self_test": run_self_test(),
    }
    if json:
        print_json(report)
    else:
        _print_report(results(), report)
    if not report["self_test"]["ok"]:
        say("error: the self-test failed; a sparse backend computes something wrong here")
        raise typer.Exit(FAILED)


def find_devices() -> dict[str, list[str]]:
    """Return the kinds of device that torch can use here, with the name of each one."""
    import platform

    import torch

    devices = {"cpu": [platform.processor() or platform.machine()]}
    if torch.cuda.is_available():
        devices["cuda"] = [
            torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())
        ]
    return devices


def run_self_test() -> dict[str, Any]:
    """Build the checkerboard graph and compare the product of every usable backend with the dense one.

    Returns:
        ``ok``, ``seconds``, ``edges`` of the graph, and for each backend the largest ``errors``.
    """
    import torch

    from mmgraph.models.base import user_item_adjacency
    from mmgraph.sparse import available_backends, matmul
    from mmgraph.testing import checkerboard_graph

    begin = time.perf_counter()
    graph = checkerboard_graph()
    adjacency = user_item_adjacency(graph)
    size = adjacency.size[0]
    x = torch.linspace(-1.0, 1.0, size * 4).reshape(size, 4)
    expected = adjacency.to_dense().double() @ x.double()
    usable = [name for name, why in available_backends("cpu").items() if why is None]
    errors = {
        name: float((matmul(adjacency, x, backend=name) - expected).abs().max()) for name in usable
    }
    return {
        "ok": all(error < _TOLERANCE for error in errors.values()),
        "seconds": time.perf_counter() - begin,
        "edges": {kind[1]: int(graph[kind].edge_index.size(1)) for kind in graph.edge_types},
        "errors": errors,
    }


def _print_report(console: Console, report: Mapping[str, Any]) -> None:
    packages = [[name, version or "not installed"] for name, version in report["packages"].items()]
    print_table(
        console, "Packages", ["package", "version"], [["python", report["python"]], *packages]
    )
    facts = [
        ["platform", report["platform"]],
        ["cores", report["cores"]],
        ["threads of torch", report["threads"]],
        ["threads of faiss", report["faiss"]["threads"]],
        ["faiss built with", report["faiss"]["compile_options"]],
        *([f"device {kind}", ", ".join(names)] for kind, names in report["devices"].items()),
    ]
    print_table(console, "Machine", ["", "value"], facts, left=2)
    rows = [
        [device, name, "yes" if why is None else "no", why or ""]
        for device, backends in report["sparse_backends"].items()
        for name, why in backends.items()
    ]
    columns = ["device", "backend", "usable", "reason"]
    print_table(console, "Sparse backends, best first", columns, rows, left=4)
    test = report["self_test"]
    verdict = "passed" if test["ok"] else "FAILED"
    worst = max(test["errors"].values())
    console.print(
        f"Self-test {verdict}: {', '.join(test['errors'])} on the checkerboard graph, "
        f"largest error {worst:.1g}, {test['seconds']:.2f} s",
        markup=False,
    )

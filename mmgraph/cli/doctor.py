"""``mmgraph doctor``: what is installed here, what can be used, and whether it computes what it should."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from mmgraph.cli.console import FAILED, JsonFlag, print_json, print_table, results, say

EXAMPLE = "Example: mmgraph doctor --calibrate"

_TOLERANCE = 1e-5

CalibrateFlag = Annotated[
    bool,
    typer.Option(
        "--calibrate", help="Time the sparse backends anew, and choose by that from now on."
    ),
]


def doctor(json: JsonFlag = False, calibrate: CalibrateFlag = False) -> None:
    """Show versions, devices and sparse backends with their times, and check a product against dense algebra."""
    import faiss
    import torch

    from mmgraph.export import environment

    devices = find_devices()
    kernels = {kind: compare_backends(kind, fresh=calibrate) for kind in devices}
    report: dict[str, Any] = {
        **environment(),
        "interop_threads": torch.get_num_interop_threads(),
        "devices": devices,
        "sparse_backends": kernels,
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


def compare_backends(device: str, *, fresh: bool) -> dict[str, dict[str, Any]]:
    """Return for each kind of product what every sparse backend does on this type of device.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
        fresh: Time them again, also where times are kept.

    Returns:
        By case, then backend: ``usable``, ``forward_ms``, ``backward_ms``, ``chosen``, ``reason``.

    Units: milliseconds for 100,000 edges and 64 columns.
    """
    import torch

    from mmgraph.sparse.calibration import Case
    from mmgraph.sparse.choice import compare

    here = torch.device(device)
    cases = (
        Case(here),
        Case(here, learned=True),
        Case(here, torch.bfloat16),
        Case(here, torch.float64),
        Case(here, reduce="max"),
    )
    return {
        str(case): {
            verdict.name: {
                "usable": verdict.why_not is None,
                "forward_ms": verdict.timing and 1000 * verdict.timing.forward,
                "backward_ms": verdict.timing and 1000 * verdict.timing.backward,
                "chosen": verdict.chosen,
                "reason": verdict.reason,
            }
            for verdict in compare(case, fresh=fresh)
        }
        for case in cases
    }


def find_devices() -> dict[str, list[str]]:
    """Return the kinds of device that torch can use here, with the name of each one."""
    import torch

    from mmgraph.sparse.calibration import device_name

    devices = {"cpu": [device_name(torch.device("cpu"))]}
    if torch.cuda.is_available():
        numbers = range(torch.cuda.device_count())
        devices["cuda"] = [device_name(torch.device("cuda", number)) for number in numbers]
    return devices


def run_self_test() -> dict[str, Any]:
    """Build the checkerboard graph and compare the product of every usable backend with the dense one.

    Returns:
        ``ok``, ``seconds``, ``edges`` of the graph, and for each backend the largest ``errors``.
    """
    import torch

    from mmgraph.models.inputs import user_item_adjacency
    from mmgraph.sparse.calibration import Case
    from mmgraph.sparse.choice import BACKENDS, backend_of, why_not
    from mmgraph.sparse.product import product
    from mmgraph.testing import checkerboard_graph

    begin = time.perf_counter()
    graph = checkerboard_graph()
    adjacency = user_item_adjacency(graph)
    size = adjacency.size[0]
    x = torch.linspace(-1.0, 1.0, size * 4).reshape(size, 4)
    expected = adjacency.to_dense().double() @ x.double()
    usable = [name for name in BACKENDS if why_not(name, Case(x.device)) is None]
    errors = {
        name: float((product(backend_of(name), adjacency, x) - expected).abs().max())
        for name in usable
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
    for device, cases in report["sparse_backends"].items():
        _print_backends(console, device, cases)
    test = report["self_test"]
    verdict = "passed" if test["ok"] else "FAILED"
    worst = max(test["errors"].values())
    console.print(
        f"Self-test {verdict}: {', '.join(test['errors'])} on the checkerboard graph, "
        f"largest error {worst:.1g}, {test['seconds']:.2f} s",
        markup=False,
        soft_wrap=True,
    )


def _print_backends(
    console: Console, device: str, cases: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> None:
    first, *others = cases
    rows = [
        [
            name,
            said["usable"],
            *(ms and f"{ms:.2f}" for ms in (said["forward_ms"], said["backward_ms"])),
            said["chosen"],
            said["reason"],
        ]
        for name, said in cases[first].items()
    ]
    title = f"Sparse backends on {device}, in order of preference; ms for a {first} of 100,000 edges, 64 columns"
    columns = ["backend", "usable", "forward", "backward", "chosen", "reason"]
    print_table(console, title, columns, rows, left=6)
    chosen = [[case, _chosen(cases[case])] for case in others]
    print_table(
        console, f"Chosen on {device} for other products", ["product", "backend"], chosen, left=2
    )


def _chosen(backends: Mapping[str, Mapping[str, Any]]) -> str:
    return next((name for name, said in backends.items() if said["chosen"]), "none")

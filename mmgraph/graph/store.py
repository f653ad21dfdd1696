"""Graphs on disk: a folder with ``graph.safetensors`` and ``graph.json``, whole or not at all."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.errors import GraphError
from mmgraph.files import new_folder, sha256_of
from mmgraph.graph.schema import check_graph, edge_name

FORMAT_VERSION = 2
TENSORS = "graph.safetensors"
MANIFEST = "graph.json"

_CHECKSUM = "manifest_sha256"


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: str
    num_nodes: int
    tensors: dict[str, str]


class _Edge(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: tuple[str, str, str]
    num_edges: int
    tensors: dict[str, str]


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="allow")
    format_version: int
    sha256: str
    nodes: list[_Node]
    edges: list[_Edge]
    manifest_sha256: str


def save_graph(
    data: HeteroData,
    folder: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a graph to a folder.

    Everything is written and flushed beside the target first and then renamed, so the folder holds
    the old graph or the new one, never half of either. A folder that holds anything but a graph is
    never touched.

    Args:
        data: A graph that passes :func:`mmgraph.graph.check_graph`.
        folder: Where to write; created when missing.
        metadata: JSON-able facts stored beside the graph: ``config``, ``inputs``, ``seconds``,
            ``reports``, see :func:`mmgraph.graph.graph_metadata`.
        overwrite: Whether a graph that is already there may be replaced.

    Raises:
        GraphError: The graph is not sound, the folder is taken, or the metadata is not JSON-able.
        OSError: The disk is full, or the folder cannot be written.
    """
    check_graph(data)
    target = Path(folder).resolve()
    check_target(target, overwrite=overwrite)
    tensors, nodes, edges = _flatten(data)
    reserved = set(_Manifest.model_fields)
    facts = dict(metadata or {})
    if reserved & set(facts):
        raise GraphError(
            f"metadata must not use {', '.join(sorted(reserved & set(facts)))}; these names are "
            "the format's own"
        )
    with new_folder(target) as fresh:
        try:
            save_file(tensors, fresh / TENSORS)
        except SafetensorError as error:  # it has no number of the system's error
            raise OSError(f"{target}: the graph cannot be written ({error})") from error
        manifest = {
            "format_version": FORMAT_VERSION,
            "sha256": sha256_of(fresh / TENSORS),
            "nodes": nodes,
            "edges": edges,
            **facts,
        }
        try:
            # As it will be read: what JSON turns into text or lists is hashed as such.
            manifest = json.loads(json.dumps(manifest, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise GraphError(f"metadata must be made of JSON values ({error})") from error
        text = json.dumps({**manifest, _CHECKSUM: _hash_manifest(manifest)}, indent=2)
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")


def load_graph(folder: str | Path) -> HeteroData:
    """Read a graph back, exactly as it was saved.

    Args:
        folder: A folder written by :func:`save_graph`.

    Returns:
        The graph, on the CPU.

    Raises:
        GraphError: A file is missing, damaged or of a newer format.
    """
    path = Path(folder)
    manifest = _read_manifest(path)
    tensors_file = path / TENSORS
    if not tensors_file.is_file():
        raise GraphError(f"{tensors_file} must exist beside {MANIFEST}; build the graph again")
    found = sha256_of(tensors_file)
    if found != manifest.sha256:
        raise GraphError(
            f"{tensors_file} is damaged: its sha256 must be {manifest.sha256[:12]}... (got "
            f"{found[:12]}...); build the graph again"
        )
    try:
        tensors = load_file(tensors_file)
        data = HeteroData()
        for node in manifest.nodes:
            data[node.type].num_nodes = node.num_nodes
            for name, key in node.tensors.items():
                data[node.type][name] = tensors[key]
        for edge in manifest.edges:
            for name, key in edge.tensors.items():
                data[edge.type][name] = tensors[key]
    except (SafetensorError, KeyError) as error:
        raise GraphError(
            f"{tensors_file} does not hold what {MANIFEST} lists ({error}); build the graph again"
        ) from error
    return data


def read_graph_metadata(folder: str | Path) -> dict[str, Any]:
    """Read what is known about a saved graph without reading the graph.

    Args:
        folder: A folder written by :func:`save_graph`.

    Returns:
        The contents of ``graph.json``.

    Raises:
        GraphError: The file is missing, damaged or of a newer format.
    """
    return _read_manifest(Path(folder)).model_dump(mode="json")


def _read_manifest(folder: Path) -> _Manifest:
    file = folder / MANIFEST
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise GraphError(
            f"{folder} must be a folder with {MANIFEST}; build a graph into it first"
        ) from error
    except NotADirectoryError as error:
        raise GraphError(f"{folder} must be a folder (got a file)") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise GraphError(f"{file} must be JSON ({error}); build the graph again") from error
    except OSError as error:
        raise GraphError(
            f"{file} must be a file that can be read ({error.strerror}); build the graph again"
        ) from error
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version != FORMAT_VERSION:
        newer = "a newer mmgraph wrote it, update mmgraph"
        older = "an older mmgraph wrote it, build the graph again"
        raise GraphError(
            f"{file}: format_version must be {FORMAT_VERSION} (got {version}); "
            f"{newer if version > FORMAT_VERSION else older}"
        )
    try:
        manifest = _Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GraphError(
            f"{file}: {where or 'content'}: {first['msg']}; build the graph again"
        ) from error
    found = _hash_manifest(raw)
    if found != manifest.manifest_sha256:
        raise GraphError(
            f"{file} is damaged: its {_CHECKSUM} must be {found[:12]}... (got "
            f"{manifest.manifest_sha256[:12]}...); build the graph again"
        )
    return manifest


def _hash_manifest(manifest: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != _CHECKSUM}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _flatten(
    data: HeteroData,
) -> tuple[dict[str, Tensor], list[dict[str, Any]], list[dict[str, Any]]]:
    tensors: dict[str, Tensor] = {}
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    for node_type in data.node_types:
        names = {key: f"{node_type}/{key}" for key in data[node_type].keys() if key != "num_nodes"}
        nodes.append(
            {"type": node_type, "num_nodes": int(data[node_type].num_nodes), "tensors": names}
        )
        tensors.update((name, data[node_type][key]) for key, name in names.items())
    for edge_type in data.edge_types:
        names = {key: f"{edge_name(edge_type)}/{key}" for key in data[edge_type].keys()}
        edges.append(
            {"type": list(edge_type), "num_edges": int(data[edge_type].num_edges), "tensors": names}
        )
        tensors.update((name, data[edge_type][key]) for key, name in names.items())
    storages: set[int] = set()
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise GraphError(
                f"{name} must be a tensor (got {type(value).__name__}); only tensors are stored"
            )
        plain = value.detach().cpu().contiguous()
        # The format stores every tensor once and refuses two names for the same memory.
        storage = plain.untyped_storage().data_ptr()
        tensors[name] = plain.clone() if storage in storages else plain
        storages.add(storage)
    return tensors, nodes, edges


def check_target(folder: str | Path, *, overwrite: bool) -> None:
    """Refuse a folder that a graph may not be saved to; ask before building one for it.

    Raises:
        GraphError: it is a file, holds something else, or a graph that may not be replaced.
    """
    target = Path(folder)
    if not target.exists():
        return
    if not target.is_dir():
        raise GraphError(f"{target} must be a folder (got a file); choose another name")
    content = {entry.name for entry in target.iterdir()}
    if not content:
        return
    if MANIFEST not in content or content - {MANIFEST, TENSORS}:
        other = sorted(content - {MANIFEST, TENSORS})
        held = f"it holds {other[0]}" if other else "it holds no graph.json"
        raise GraphError(
            f"{target} must be empty or hold a graph and nothing else ({held}); choose another "
            "folder"
        )
    if not overwrite:
        raise GraphError(
            f"{target} already holds a graph; choose another folder or allow to overwrite it"
        )

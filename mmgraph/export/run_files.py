"""What a run writes before it trains and after it has trained."""

from collections.abc import Mapping
from typing import Any

import torch

from mmgraph import __version__
from mmgraph.data import MultimodalDataset, write_split
from mmgraph.evaluation import EvaluationResult, write_per_user
from mmgraph.export import run_folder as names
from mmgraph.export.machine import environment
from mmgraph.export.run_folder import RunFolder
from mmgraph.models.base import Recommender


def write_inputs(
    folder: RunFolder,
    data: MultimodalDataset,
    model: Recommender,
    *,
    recipe: str,
    model_name: str,
    seed: int,
    device: str,
    memory: Mapping[str, int],
) -> None:
    """Write what a run is made of: recipe, vocabulary, split, environment, hashes, the memory it will need."""
    folder.write_bytes(names.RECIPE, recipe.encode())
    vocabulary = {"users": data.users.ids, "items": data.items.ids, "titles": data.titles}
    folder.write_json(names.VOCABULARY, vocabulary)
    folder.write_json(names.ENVIRONMENT, environment(device))
    write_split(data, folder / names.SPLIT)
    facts = {
        "format_version": names.FORMAT_VERSION,
        "mmgraph": __version__,
        "model": model_name,
        "dataset": data.name,
        "seed": seed,
        "device": device,
        "dataset_hash": data.content_hash,
        "split_hash": data.split_hash,
        "notes": list(data.notes),
        **({"own_rows": True} if data.is_part else {}),
        "num_parameters": sum(p.numel() for p in model.parameters()),
        "memory": dict(memory),
        "complete": False,
    }
    folder.write_json(names.RUN, facts)


def write_outputs(
    folder: RunFolder,
    data: MultimodalDataset,
    model: Recommender,
    *,
    metrics: Mapping[str, Any],
    test: EvaluationResult,
    timings: Mapping[str, float | None],
) -> None:
    """Write what a run has come to - weights, vectors, metrics, seconds - and mark it as complete."""
    with torch.no_grad():
        vectors = model.retrieval_embeddings()
    if vectors is not None:
        folder.write_tensors(names.EMBEDDINGS, vectors._asdict())
    folder.write_tensors(names.WEIGHTS, model.state_dict())
    folder.write_json(names.METRICS, metrics)
    write_per_user(test, folder / names.PER_USER, external_user_ids=data.users.ids)
    folder.write_json(names.TIMINGS, timings)
    folder.seal(folder.facts())

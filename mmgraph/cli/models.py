"""``mmgraph models``: every model with its paper, its kind and its presets."""

from dataclasses import asdict

from mmgraph.cli.console import JsonFlag, print_json, print_table, results, say

EXAMPLE = "Example: mmgraph models --json"

_FUSIONS = {"none": "not read", "joint": "any, mixed", "late": "any, scores added up"}


def models(json: JsonFlag = False) -> None:
    """List the models: paper, what becomes of the modalities, kind of score, presets."""
    from mmgraph.models.catalogue import describe_models

    found = describe_models()
    if json:
        records = [
            {**asdict(model), "paper": model.paper._asdict() if model.paper else None}
            for model in found
        ]
        print_json({"models": records})
        return
    rows = [
        [
            model.name,
            f"{model.paper.authors}, {model.paper.year}" if model.paper else "",
            _FUSIONS[model.modality_fusion] if not model.wraps else "any, around another model",
            model.scorer,
            ", ".join(model.presets) or None,
        ]
        for model in found
    ]
    columns = ["name", "paper", "modalities", "score", "presets"]
    print_table(results(), f"{len(found)} models", columns, rows, left=5)
    say(
        "Train one: mmgraph train NAME --dataset movielens-small; a preset, of a model that lists it: "
        "--set model.preset=as_released"
    )

"""``mmgraph evaluate``: rank the test part again with a trained model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmgraph.cli.console import JsonFlag, QuietFlag, print_json, print_table, results

if TYPE_CHECKING:
    from mmgraph.evaluation import EvaluationConfig

EXAMPLE = "Example: mmgraph evaluate runs/demo/mm_gef --k 10 --k 20 --metric recall --metric ndcg"


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    dataset: Annotated[
        str | None, typer.Option(help="Where the data set is now, if it has moved.")
    ] = None,
    k: Annotated[
        list[int] | None, typer.Option("--k", "-k", help="List length; may be given again.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Metric, such as recall; may be given again.")
    ] = None,
    mask_valid_at_test: Annotated[
        bool,
        typer.Option("--mask-valid-at-test", help="Leave validation items out of the lists too."),
    ] = False,
    candidates: Annotated[
        str | None,
        typer.Option(
            metavar="all|cold",
            help="Rank all items, or those without training interactions; by default as the run did.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to rank: cpu, cuda, cuda:1.")] = "cpu",
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Compute the test metrics of a run again, and compare them with the stored ones."""
    from mmgraph import experiment
    from mmgraph.cli.progress import observing

    loaded = experiment.load_run(run, dataset=dataset, device=device)
    recipe = loaded.recipe.evaluation
    config = evaluation_config(
        recipe,
        ks=k or recipe.ks,
        metrics=metric or recipe.metrics,
        mask=mask_valid_at_test,
        candidates=candidates,
    )
    stored = loaded.metrics["test"]
    with observing(quiet=quiet) as observer:
        result = experiment.evaluate(loaded, config=config, observer=observer)
    changed = _changed_convention(config, recipe)
    difference = largest_difference(result.mean, stored) if changed is None else None
    if json:
        print_json(
            {
                "run": str(loaded.path),
                "model": loaded.recipe.model.name,
                "dataset": loaded.dataset.name,
                "test": result.mean,
                "num_users": len(result.users),
                "mask_valid_at_test": config.mask_valid_at_test,
                "candidates": config.candidates,
                "equals_stored": None if difference is None else difference == 0,
            }
        )
        return
    title = f"{loaded.recipe.model.name} on {loaded.dataset.name}, {len(result.users):,} users"
    _show(result.mean, config, title=title)
    results().print(_compare(difference, changed), markup=False)


def _show(mean: Mapping[str, float], config: "EvaluationConfig", *, title: str) -> None:
    """Print a line for each metric, a column for each length."""
    columns = ["metric", *(f"test @{length}" for length in config.ks)]
    rows = [[name, *(mean[f"{name}@{length}"] for length in config.ks)] for name in config.metrics]
    print_table(results(), title, columns, rows)


def evaluation_config(
    recipe: "EvaluationConfig",
    *,
    ks: Sequence[int],
    metrics: Sequence[str],
    mask: bool,
    candidates: str | None = None,
) -> "EvaluationConfig":
    """Return the recipe's evaluation with other lengths and metrics; the selection metric follows them.

    Raises:
        ConfigError: a metric is unknown, or a length or name is wrong or repeated.
    """
    from mmgraph.config import parse_config
    from mmgraph.evaluation import EvaluationConfig

    values = {
        **recipe.model_dump(),
        "ks": tuple(ks),
        "metrics": tuple(metrics),
        "mask_valid_at_test": mask or recipe.mask_valid_at_test,
        "candidates": candidates or recipe.candidates,
        "select_by": f"{metrics[0]}@{ks[0]}",
    }
    return parse_config(EvaluationConfig, values, origin="evaluate")


def largest_difference(found: Mapping[str, float], stored: Mapping[str, float]) -> float | None:
    """Return the largest difference between metrics of the same name, or None if none has a partner.

    Example:
        >>> largest_difference({"recall@1": 0.5, "hit@1": 1.0}, {"recall@1": 0.25})
        0.25
    """
    shared = [abs(value - stored[name]) for name, value in found.items() if name in stored]
    return max(shared, default=None)


def _changed_convention(config: "EvaluationConfig", recipe: "EvaluationConfig") -> str | None:
    """Return how the lists of the run were made, if these are made otherwise."""
    if config.mask_valid_at_test != recipe.mask_valid_at_test:
        return "kept validation items as candidates"
    if config.candidates != recipe.candidates:
        return {"all": "ranked all items", "cold": "ranked cold items only"}[recipe.candidates]
    return None


def _compare(difference: float | None, changed: str | None) -> str:
    if changed is not None:
        return f"Not compared with the stored metrics: those {changed}."
    if difference is None:
        return "None of these metrics is stored with the run."
    if difference == 0:
        return "Equal to the metrics stored with the run."
    return f"Differs from the metrics stored with the run, by {difference:.2g} at most."

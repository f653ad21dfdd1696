"""What the folder of an unlearned run says: everything about the run, nothing about what was forgotten."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgraph.config import Recipe
from mmgraph.evaluation import EvaluationResult
from mmgraph.export import EpochLog, RunFolder, write_inputs, write_outputs
from mmgraph.export import run_folder as names
from mmgraph.files import sha256_of
from mmgraph.models.base import Recommender
from mmgraph.run import Run
from mmgraph.training import EpochReport
from mmgraph.unlearning.fit import Unlearned, without_forgotten
from mmgraph.unlearning.retain import Division
from mmgraph.unlearning.settings import UnlearningConfig


@dataclass(frozen=True, eq=False)
class Outcome:
    """What unlearning has come to.

    Attributes:
        model: Without rows for what is forgotten.
        how: How it went.
        valid: Validation metrics of ``model``.
        test: Its test metrics.
        reports: What happened in each epoch.
        build_s: Seconds until the first step.
        seconds: Seconds of everything but reading and writing.
    """

    model: Recommender
    how: Unlearned
    valid: dict[str, float]
    test: EvaluationResult
    reports: Sequence[EpochReport]
    build_s: float
    seconds: float


def write_run(
    target: Path,
    source: Run,
    division: Division,
    recipe: Recipe,
    outcome: Outcome,
    *,
    config: UnlearningConfig,
    seed: int,
    numbered: bool = False,
) -> Run:
    """Write the folder of an unlearned run; it appears complete or not at all.

    Args:
        target: Where; new or empty, unless ``numbered``.
        source: The run it was made from.
        division: What was forgotten and what was retained.
        recipe: Of the new run.
        outcome: Its model and metrics.
        config: How it was made.
        seed: Of the draws.
        numbered: Put a number behind a target that is taken.
    """
    data = division.retained

    def fill(folder: RunFolder) -> None:
        write_inputs(
            folder,
            data,
            outcome.model,
            recipe=recipe.to_toml(),
            model_name=recipe.model.name,
            seed=recipe.seed,
            device=source.device,
            memory={},
        )
        made = {**origin_of(source, division), "seed": seed, "settings": config.model_dump()}
        folder.write_json(names.RUN, {**folder.facts(), "unlearned": made})
        log = EpochLog(folder)
        for report in outcome.reports:
            record = {**report.record(), "losses": without_forgotten(report.losses)}
            log.add(record, epoch_s=report.epoch_s, eval_s=report.eval_s)
        how = outcome.how
        metrics = {
            "epochs": how.epochs,
            "best_epoch": how.best_epoch,
            "valid": outcome.valid,
            "test": outcome.test.mean,
        }
        timings = {"build_s": outcome.build_s, **log.timings(), "total_s": outcome.seconds}
        write_outputs(
            folder, data, outcome.model, metrics=metrics, test=outcome.test, timings=timings
        )

    folder = RunFolder.create(target, fill, numbered=numbered)
    return Run(folder, recipe, source.data_folder, source.device)


def origin_of(source: Run, division: Division) -> dict[str, str]:
    """Return hashes by which whoever has the run and the request can tell that these led to the new run.

    The request is hashed together with the hash of the run's weights, which the new run does not hold: without the run,
    a short list of ids could be found by trying them all. For the same reason no hash of its data is kept.
    """
    facts, data, request = source.folder.facts(), division.whole, division.request
    names_of_pairs = zip(
        (data.users.ids[row] for row in request.user.tolist()),
        (data.items.ids[row] for row in request.item.tolist()),
        strict=True,
    )
    asked: dict[str, Any] = {
        "weights": facts["files"][names.WEIGHTS],
        "users": sorted(data.users.ids[row] for row in request.users.tolist()),
        "items": sorted(data.items.ids[row] for row in request.items.tolist()),
        "interactions": sorted(names_of_pairs),
    }
    text = json.dumps(asked, ensure_ascii=False, separators=(",", ":"))
    return {
        "run_sha256": sha256_of(source.folder / names.RUN),
        "request_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }

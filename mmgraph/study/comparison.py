"""Several recipes on one data set, over seeds, with a paired test of each against one of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgraph.errors import ConfigError, FitError, nearest
from mmgraph.report import check_drawing, write_result
from mmgraph.report.study import draw_rows
from mmgraph.study.plan import (
    FIRST_SEED,
    Study,
    build_all,
    dataset_name,
    one_dataset,
    seeds_from,
    setting_of,
)
from mmgraph.study.pool import StudyObserver, run_trials
from mmgraph.study.table import (
    Record,
    paired_tests,
    rows_of,
    shown_metrics,
    study_record,
)
from mmgraph.study.trial import Place, missing_trials

METRIC = "recall@20"
RESULT = "comparison"


def compare(
    recipes: Sequence[str | Path],
    dataset: str | None = None,
    *,
    seeds: int = 5,
    first_seed: int = FIRST_SEED,
    overrides: Sequence[str] = (),
    against: str | None = None,
    metric: str = METRIC,
    out: str | Path | None = None,
    place: Place | None = None,
    observer: StudyObserver | None = None,
) -> Record:
    """Train each recipe with each seed, and compare them on the test part.

    Runs that are complete are only read, and interrupted ones go on, so the same call can be made again.

    Args:
        recipes: Models, shipped recipes or TOML files; a model takes the recipe shipped for the data set, if there
            is one.
        dataset: Bundled name or folder; by default the one the recipes name.
        seeds: How many.
        first_seed: The first of them.
        overrides: ``"a.b=c"`` assignments for all recipes.
        against: The label that the others are tested against; by default the best by ``metric``.
        metric: Decides who is the best, and is drawn.
        out: Folder of the runs and of ``comparison.json``, ``.png`` and ``.svg``; by default
            ``runs/<dataset>/compare``.
        place: Where trials are computed, and how many at a time.
        observer: Is told how it goes.

    Returns:
        What ``comparison.json`` holds, and the files.

    Raises:
        ConfigError: a recipe, a label or the folder cannot be used; nothing was trained.
        DataError: so for the data set.
        FitError: no run came to its end.
        MissingDependency: matplotlib is missing.
    """
    settings = tuple(setting_of(recipe, dataset, overrides=overrides) for recipe in recipes)
    if not settings:
        raise ConfigError("a comparison needs recipes (got none); name models or recipe files")
    source = one_dataset(settings)
    folder = Path(out) if out is not None else Path("runs") / dataset_name(source) / "compare"
    study = Study(folder, settings, seeds_from(first_seed, seeds))
    labels = [setting.label for setting in settings]
    if against is not None and against not in labels:
        raise ConfigError(
            f"--against must be the label of a row (got {against!r}){nearest(against, labels)}"
        )
    return do_study(
        "compare", study, RESULT, against=against, metric=metric, place=place, observer=observer
    )


def do_study(
    kind: str,
    study: Study,
    result: str,
    *,
    against: str | None,
    metric: str,
    place: Place | None,
    observer: StudyObserver | None,
    facts: Mapping[str, Any] | None = None,
) -> Record:
    """Do what is missing of a study, test its rows against one of them, write the numbers and the picture.

    Args:
        kind: What the study calls itself.
        study: Settings and seeds.
        result: Name of its files.
        against: Label of the reference; None takes the best.
        metric: Decides who is the best, and is drawn.
        place: Where trials are computed.
        observer: Is told how it goes.
        facts: What else to tell.

    Returns:
        The numbers, and the files they are in.

    Raises:
        FitError: no run came to its end, or none of the reference.
    """
    check_drawing()
    build_all(study.settings)
    missing = missing_trials(study.trials(), part="test", metric=metric)
    study.check_folder()
    observer = observer or StudyObserver()
    total = len(study.settings) * len(study.seeds)
    observer.begins(total, total - len(missing))
    failures = run_trials(missing, observer, place=place or Place())
    rows = rows_of(study)
    found = {row.label: row for row in rows}
    if not rows or (against is not None and against not in found):
        raise FitError(
            f"nothing can be compared: no run of {against or 'the study'} came to its end; "
            f"{next(iter(failures.values()))}"
        )
    metrics = shown_metrics(rows, "test", metric)
    best = max(rows, key=lambda row: row.mean("test", metric))
    reference = best if against is None else found[against]
    record = {
        **study_record(kind, study, rows, failures),
        **(facts or {}),
        "metric": metric,
        "metrics": metrics,
        "best": best.label,
        "against": reference.label,
        "rows": [row.record(parts=("valid", "test")) for row in rows],
        "tests": paired_tests(rows, reference, metrics),
    }
    values = {row.label: row.values("test", metric) for row in rows}
    with draw_rows(values, metric=f"test {metric}", reference=reference.label) as figure:
        files = write_result(study.folder / result, record, figure)
    return {**record, "files": [str(path) for path in files]}

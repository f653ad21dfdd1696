"""Several recipes on one data set, over seeds, with a paired test of each against one of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgraph.errors import ConfigError, FitError, nearest
from mmgraph.report import write_result
from mmgraph.report.study import draw_tested
from mmgraph.study.missing import Part
from mmgraph.study.plan import (
    Study,
    dataset_name,
    one_dataset,
    seeds_from,
    setting_of,
    told_overrides,
)
from mmgraph.study.pool import StudyObserver
from mmgraph.study.table import (
    Record,
    Row,
    paired_tests,
    rows_of,
    shown_metrics,
    study_record,
)
from mmgraph.study.trial import Place
from mmgraph.study.work import do_missing, reason_of

METRIC = "recall@20"
RESULT = "comparison"


def compare(
    recipes: Sequence[str | Path],
    dataset: str | None = None,
    *,
    seeds: int = 5,
    first_seed: int | None = None,
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
        recipes: Models, shipped recipes or TOML files; a name takes the recipe shipped for the data set, if there
            is one.
        dataset: Bundled name or folder; by default the one the recipes name.
        seeds: How many.
        first_seed: The first of them; by default that of recipes.
        overrides: ``"a.b=c"`` assignments for all recipes.
        against: The label that the others are tested against; by default the best by the mean of ``metric`` on the
            validation part. Chosen on the test part, it would spoil its own tests.
        metric: Is compared and drawn.
        out: Folder of the runs and of ``comparison.json``, ``.png`` and ``.svg``; by default
            ``runs/<dataset>/compare``.
        place: Where trials are computed, and how many at a time.
        observer: Is told how it goes.

    Returns:
        What ``comparison.json`` holds, and the files.

    Raises:
        ConfigError: a recipe, a label or the folder cannot be used, or rows differ in data, split or evaluation;
            nothing was trained.
        DataError: the data set cannot be used.
        FitError: no row, or not the one named, came to its end with all seeds.
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
    options = {
        "recipes": [str(recipe) for recipe in recipes],
        "set": told_overrides(overrides),
        "against": against,
        "metric": metric,
    }
    return do_study(
        "compare",
        study,
        RESULT,
        against=against,
        metric=metric,
        place=place,
        observer=observer,
        facts={"options": options},
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
    facts: Mapping[str, Any],
) -> Record:
    """Do what is missing of a study, test its rows against one of them, write the numbers and the picture.

    Args:
        kind: What the study calls itself.
        study: Settings and seeds.
        result: Name of its files.
        against: Label of the reference; None chooses it on the validation part.
        metric: Is compared and drawn.
        place: Where trials are computed.
        observer: Is told how it goes.
        facts: What else to tell.

    Returns:
        The numbers, and the files they are in.

    Raises:
        ConfigError: a trial cannot be trained, or the rows could not be compared; nothing was trained.
        FitError: no row, or not the reference, came to its end with all seeds.
    """
    chooses = against is None and len(study.settings) > 1
    parts: tuple[Part, ...] = ("valid", "test") if chooses else ("test",)
    failures = do_missing(study, parts=parts, metric=metric, place=place, observer=observer)
    rows = rows_of(study)
    whole = [row for row in rows if row.is_whole(study.seeds)]
    if not whole or (against is not None and against not in [row.label for row in whole]):
        raise FitError(
            f"nothing can be compared: {against or 'no row'} {'did not come' if against else 'came'} to its end with "
            f"all seeds; {reason_of(failures, against)}"
        )
    reference = _reference(whole, against, metric, chooses=chooses)
    metrics = shown_metrics(rows, "test", metric)
    record = {
        **study_record(kind, study, rows, failures),
        **facts,
        "metric": metric,
        "metrics": metrics,
        "best": max(whole, key=lambda row: row.mean("test", metric)).label,
        "against": reference.label,
        "against_by": "validation" if chooses else "name",
        "rows": [row.record(parts=("valid", "test")) for row in rows],
        "tests": paired_tests(whole, reference, metrics),
    }
    with draw_tested(record) as figure:
        files = write_result(study.folder / result, record, figure)
    return {**record, "files": [str(path) for path in files]}


def _reference(whole: Sequence[Row], against: str | None, metric: str, *, chooses: bool) -> Row:
    """Return the row that the others are tested against; never by a figure of the test part."""
    if chooses:
        return max(whole, key=lambda row: row.mean("valid", metric))
    return next(row for row in whole if against in (None, row.label))

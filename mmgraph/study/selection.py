"""A grid of settings over seeds; what is chosen is chosen on the validation part, and only that is shown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmgraph import __version__
from mmgraph.errors import ConfigError, FitError
from mmgraph.files import write_file
from mmgraph.report import write_result
from mmgraph.report.study import draw_sweep, point_label
from mmgraph.study.grid import check_grid, grid_points, grid_size, parse_grid
from mmgraph.study.plan import (
    Study,
    dataset_name,
    one_dataset,
    seeds_from,
    setting_of,
    told_overrides,
)
from mmgraph.study.pool import StudyObserver
from mmgraph.study.table import Record, Row, rows_of, shown_metrics, study_record
from mmgraph.study.trial import Place
from mmgraph.study.work import Failures, do_missing, reason_of
from mmgraph.toml import to_toml

RESULT = "sweep"

_CHOSEN_BY = "# Chosen by mmgraph sweep"


def sweep(
    recipe: str | Path,
    grid: Sequence[str] | Mapping[str, Sequence[Any]],
    dataset: str | None = None,
    *,
    trials: int | None = None,
    seeds: int = 3,
    first_seed: int | None = None,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    write: str | Path | None = None,
    place: Place | None = None,
    observer: StudyObserver | None = None,
) -> Record:
    """Train every setting of a grid with every seed, and choose the best by its mean validation metric.

    The metric is the recipe's ``evaluation.select_by``. No figure of the test part is returned or written; each run
    has measured its own, which stays in its folder.

    Args:
        recipe: Model, shipped recipe or TOML file.
        grid: ``"a.b=1,2,3"`` for each key, or the values by key.
        dataset: Bundled name or folder; by default the recipe's.
        trials: Try so many settings of the grid, drawn at random; the draw follows from ``first_seed``.
        seeds: How many.
        first_seed: The first of them; by default that of recipes.
        overrides: ``"a.b=c"`` assignments for all settings.
        out: Folder of the runs and of ``sweep.json``, ``.png`` and ``.svg``; by default
            ``runs/<dataset>/sweep-<recipe>``.
        write: File for the chosen recipe.
        place: Where trials are computed, and how many at a time.
        observer: Is told how it goes.

    Returns:
        What ``sweep.json`` holds, and the files.

    Raises:
        ConfigError: a key does not exist, a value breaks a rule, there is no validation part, or a place cannot be
            written; nothing was trained.
        FitError: no setting came to its end with all seeds.
    """
    base = setting_of(recipe, dataset, overrides=overrides)
    values = parse_grid(grid) if not isinstance(grid, Mapping) else check_grid(grid)
    in_a_row = seeds_from(first_seed, seeds)
    points = grid_points(values, trials=trials, seed=in_a_row[0])
    settings = tuple(base.changed(point_label(point), point) for point in points)
    name = dataset_name(one_dataset(settings))
    folder = Path(out) if out is not None else Path("runs") / name / f"sweep-{base.folder_name}"
    study = Study(folder, settings, in_a_row)
    target = None if write is None else _check_target(Path(write))
    failures = do_missing(study, parts=("valid",), place=place, observer=observer)
    point_of = dict(zip((s.label for s in settings), points, strict=True))
    rows, metric = _best_first(study, failures)
    record = {
        **study_record("sweep", study, rows, failures),
        "options": {
            "recipe": str(recipe),
            "set": told_overrides(overrides),
            "trials": trials,
        },
        "recipe": base.label,
        "source": base.source,
        "grid": values,
        "tried": len(points),
        "of": grid_size(values),
        "metric": metric,
        "metrics": shown_metrics(rows, "valid", metric),
        "chosen": dict(point_of[rows[0].label]),
        "rows": [{**row.record(parts=("valid",)), "point": point_of[row.label]} for row in rows],
        "written": None if target is None else str(target),
    }
    chart = [point_of[row.label] for row in rows], [row.values("valid", metric) for row in rows]
    with draw_sweep(*chart, metric=f"valid {metric}", best=0) as figure:
        files = write_result(folder / RESULT, record, figure)
    # Last, since its place may be unwritable, and what was found shall not be lost for that.
    if target is not None:
        write_file(target, recipe_text(rows[0], record).encode())
    return {**record, "files": [str(path) for path in files]}


def _best_first(study: Study, failures: Failures) -> tuple[list[Row], str]:
    """Return the settings with all seeds, the best by the mean of the recipes' own metric first, and that metric."""
    rows = [row for row in rows_of(study) if row.is_whole(study.seeds)]
    if not rows:
        raise FitError(
            f"nothing can be chosen: no setting came to its end with all seeds; {reason_of(failures)}"
        )
    metric = rows[0].runs[0].recipe.evaluation.select_by
    # Python's sort is stable: of equal ones the first of the grid.
    return sorted(rows, key=lambda row: -row.mean("valid", metric)), metric


def recipe_text(row: Row, record: Mapping[str, Any]) -> str:
    """Return the recipe of a row as TOML under a comment that says how it was chosen."""
    seeds, metric = record["seeds"], record["metric"]
    tried = ", ".join(f"{key} in {values}" for key, values in record["grid"].items())
    drawn = "all" if record["tried"] == record["of"] else f"{record['tried']} settings drawn from"
    failed = failed_labels(record)
    of = f"the {len(record['rows'])} that came to their end, of {drawn}" if failed else drawn
    over = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    lines = [
        f"{_CHOSEN_BY} {__version__} from {record['source']} on {record['dataset']}:",
        f"# the best of {of} {record['of']} with {tried},",
        f"# by mean validation {metric} over {over} ({row.mean('valid', metric):.4f}).",
        *([f"# Failed: {'; '.join(failed)}."] if failed else []),
    ]
    text = "".join(f"{line}\n" for line in lines)
    return f"{text}\n{to_toml(_without_none(row.setting.values))}"


def failed_labels(record: Mapping[str, Any]) -> list[str]:
    """Return the settings of a sweep that did not come to their end with all seeds, each once.

    Example:
        >>> failed_labels({"failed": [{"label": "k=5", "seed": 1}, {"label": "k=5", "seed": 2}]})
        ['k=5']
    """
    return list(dict.fromkeys(failure["label"] for failure in record["failed"]))


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of values; what has no value in TOML is what a key that is left out has."""
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }


def _check_target(path: Path) -> Path:
    """Refuse a file that a sweep did not write, or a place where none can be.

    Raises:
        ConfigError: it is one of these.
    """
    if path.suffix != ".toml":
        raise ConfigError(f"--write must name a .toml file (got {str(path)!r}); recipes are TOML")
    if not path.parent.is_dir():
        raise ConfigError(
            f"--write {path}: its folder must exist (got {path.parent}); make it first"
        )
    if path.exists() and not (
        path.is_file() and path.read_text("utf-8", "replace").startswith(_CHOSEN_BY)
    ):
        raise ConfigError(
            f"--write {path}: was not written by a sweep and stays as it is; name another file"
        )
    return path

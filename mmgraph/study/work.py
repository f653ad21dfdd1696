"""The work a study begins with: all is checked, then what is missing is trained."""

from collections.abc import Mapping, Sequence

from mmgraph.report import check_drawing
from mmgraph.study.missing import Part, missing_trials
from mmgraph.study.plan import Study, build_all
from mmgraph.study.pool import StudyObserver, run_trials
from mmgraph.study.trial import Place

Failures = Mapping[tuple[str, int], str]
"""Why trials failed, by label and seed."""


def do_missing(
    study: Study,
    *,
    parts: Sequence[Part],
    metric: str | None = None,
    place: Place | None,
    observer: StudyObserver | None,
) -> Failures:
    """Train what a study lacks, after everything that could keep it from its end has been checked.

    Args:
        study: Settings and seeds.
        parts: What its rows will be judged by.
        metric: What they will be judged by there, if it is not the recipes' own choice.
        place: Where trials are computed.
        observer: Is told how it goes.

    Returns:
        Why trials failed.

    Raises:
        ConfigError: a picture cannot be drawn, a trial not be trained, or the rows not be compared; nothing was
            trained.
    """
    check_drawing()
    build_all(study.settings)
    missing = missing_trials(study.trials(), parts=parts, metric=metric)
    study.check_folder()
    observer = observer or StudyObserver()
    total = len(study.settings) * len(study.seeds)
    observer.begins(total, total - len(missing))
    return run_trials(missing, observer, place=place or Place())


def reason_of(failures: Failures, label: str | None = None) -> str:
    """Return why a row lacks a run, or any row.

    Example:
        >>> reason_of({("k=5", 1): "no memory"}, "k=5"), reason_of({})
        ('no memory', 'the same command trains what is missing')
    """
    reasons = (text for (failed, _), text in failures.items() if label in (None, failed))
    return next(reasons, "the same command trains what is missing")

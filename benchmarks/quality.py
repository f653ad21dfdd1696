"""The page of quality: a table, and a picture where one says more, for each study in ``benchmarks/results``."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.markdown import COMMAND, header, picture
from mmgraph.cli.study import (
    chosen_reference,
    difference,
    differing_runs,
    p_value,
    spread,
)
from mmgraph.report.figure import render
from mmgraph.report.study import draw_sweep, draw_tested, row_name
from mmgraph.study.comparison import METRIC
from mmgraph.study.plan import FIRST_SEED

Record = Mapping[str, Any]

_PART = {"compare": "test", "ablate": "test", "sweep": "valid"}


class Study(NamedTuple):
    """What ``mmgraph compare``, ``ablate`` or ``sweep`` found, and the name of its file without ending."""

    name: str
    record: Record

    @property
    def part(self) -> str:
        """The part of the data whose figures it tells."""
        return _PART[self.record["study"]]

    @property
    def picture(self) -> str:
        """Name of its picture without ending."""
        return "_".join(["results", *re.findall("[a-z0-9]+", self.name.lower())])


def read_studies(folder: Path) -> list[Study]:
    """Return the studies of a folder: by data set, comparisons first, then by the names of the files."""
    found = [
        Study(path.stem, json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(folder.glob("*.json"))
    ]
    kinds = list(_PART)
    studies = [study for study in found if study.record.get("study") in kinds]
    return sorted(studies, key=lambda s: (s.record["dataset"], kinds.index(s.record["study"])))


def page(studies: Sequence[Study]) -> str:
    """Return the page of the studies in Markdown; it shows the pictures of :func:`draw`."""
    lines = [
        "# Quality",
        "",
        f"Made by `{COMMAND}` from `benchmarks/results`; edit the programs, not this page. Full rankings; mean and",
        "standard deviation over seeds; paired t-tests over users, each averaged over the seeds. The p-values are",
        "corrected by Holm's method for the rows of a table, the 95 % intervals are not. Comparisons and ablations",
        "tell the test part, sweeps the validation part, where settings are chosen. Seconds of an epoch say what a",
        "row costs and are no measurement: other work ran beside. Speed is measured in [Training](training.md).",
    ]
    dataset = None
    for study in studies:
        if study.record["dataset"] != dataset:
            dataset = study.record["dataset"]
            lines += ["", f"## {dataset}"]
        lines += ["", f"### {title(study.record)}", "", *table(study), *remarks(study.record)]
        lines += picture([study.picture], study.picture, title(study.record))
        lines += ["", f"`{command_of(study.record)}`"]
    return "\n".join(lines) + "\n"


def draw(studies: Sequence[Study], out: Path) -> None:
    """Write the picture of each study into a folder."""
    for study in studies:
        record = study.record
        if record["study"] == "sweep":
            points = [row["point"] for row in record["rows"]]
            values = [row["valid"][record["metric"]] for row in record["rows"]]
            drawn = draw_sweep(points, values, metric=f"valid {record['metric']}", best=0)
        else:
            drawn = draw_tested(record)
        with drawn as figure:
            (out / f"{study.picture}.png").write_bytes(render(figure)[".png"])


def title(record: Record) -> str:
    """Return what a study is about.

    Example:
        >>> title({"study": "sweep", "recipe": "margo", "grid": {"model.alpha": [0, 1]}, "rows": [], "seeds": [1, 2]})
        'margo: model.alpha, 2 seeds'
    """
    rows, seeds = record["rows"], len(record["seeds"])
    cold = rows and rows[0]["recipe"]["evaluation"].get("candidates") == "cold"
    if record["study"] == "compare":
        subject = f"{len(rows)} models"
    elif record["study"] == "ablate":
        subject = f"{record['recipe']} and its parts"
    else:
        subject = f"{record['recipe']}: {' and '.join(record['grid'])}"
    return f"{subject}{', among cold items alone' if cold else ''}, {seeds} seed{'s' * (seeds > 1)}"


def table(study: Study) -> Iterator[str]:
    """Yield the table of a study, with what its tests found."""
    record, part = study.record, study.part
    names, metric = record["metrics"], record["metric"]
    head = str(record.get("recipe", "model"))
    tests = {t["label"]: t for t in record.get("tests", ()) if t["metric"] == metric}
    against = [f"{metric} – {record['against']}", "p"] if tests else []
    yield from header([head, *names, *against, "s/epoch", "epochs", "parameters"], left=(head,))
    rows = record["rows"]
    if record["study"] == "sweep":  # the record has the best first
        grid = record["grid"]
        rows = sorted(rows, key=lambda row: [grid[key].index(row["point"][key]) for key in grid])
    for row in rows:
        seconds, test = row["epoch_s_median"], tests.get(row["label"])
        tested = (difference(test), p_value(test)) if test else ("", "")
        cells = [
            row_name(row, record["seeds"]),
            *(spread(row[part][name]) for name in names),
            *(tested if tests else ()),
            f"{seconds:.2f}" if seconds is not None else "",
            f"{median(row['epochs']):.0f}",
            f"{row['num_parameters']:,}",
        ]
        yield "| " + " | ".join(cells) + " |"


def remarks(record: Record) -> Iterator[str]:
    """Yield what else a reader must know of a study, each in a paragraph of its own."""
    for failure in record.get("failed", ()):
        text = " ".join(failure["message"].split()).replace("<", "\\<")
        yield from ("", f"{failure['label']}, seed {failure['seed']}, failed: {text}")
    said = [*chosen_reference(record)] if record.get("tests") else []
    for text in (*said, *differing_runs(record)):
        yield from ("", text)


def command_of(record: Record) -> str:
    """Return the command of a study, without the folder of its data set.

    Example:
        >>> options = {"recipes": ["lightgcn"], "set": [], "against": None, "metric": "ndcg@10"}
        >>> study = {"study": "compare", "dataset": "shop", "seeds": [1, 2], "options": options}
        >>> command_of(study)
        'mmgraph compare lightgcn --dataset shop --seeds 2 --first-seed 1 --metric ndcg@10'
    """
    dataset, seeds = record["dataset"], record["seeds"]
    options = record["options"] if "options" in record else _options_of_rows(record)
    recipes = options["recipes"] if record["study"] == "compare" else [options["recipe"]]
    words = ["mmgraph", record["study"]]
    words += [Path(r).name if r.endswith(".toml") else r for r in recipes]
    for key, values in record.get("grid", {}).items():
        words += ["--grid", f"{key}={','.join(map(_word, values))}"]
    words += ["--dataset", dataset, "--seeds", str(len(seeds))]
    words += _given("--first-seed", seeds[0] if seeds[0] != FIRST_SEED else None)
    words += _given("--trials", options.get("trials"))
    for label in options.get("only", ()):
        words += ["--only", label]
    words += ["--by-modality"] if options.get("by_modality") else []
    for assignment in options["set"]:
        words += ["--set", assignment]
    words += _given("--against", options.get("against"))
    metric = options.get("metric", METRIC)
    words += _given("--metric", metric if metric != METRIC else None)
    return shlex.join(words)


def _given(option: str, value: Any) -> list[str]:
    return [] if value is None else [option, str(value)]


def _options_of_rows(record: Record) -> Record:
    """Return the options of a study that does not tell them, as far as its rows show them."""
    rows, dataset, grid = record["rows"], record["dataset"], record.get("grid", {})
    changed = rows[0]["changes"].items()
    found = {
        "set": [f"{k}={_word(v)}" for k, v in changed if k not in grid and k != "data.dataset"]
    }
    if record["study"] != "compare":
        return {**found, "recipe": _recipe_word(rows[0]["source"], record["recipe"], dataset)}
    recipes = [_recipe_word(row["source"], row["label"], dataset) for row in rows]
    named = record["against"] if record["against"] != record["best"] else None
    return {**found, "recipes": recipes, "against": named}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _recipe_word(source: str, label: str, dataset: str) -> str:
    return label if source in (f"{dataset}/{label}", f"defaults of {label}") else source

"""The same search for every system: as many settings, as many epochs, chosen on the validation part.

``python -m benchmarks.search --dataset movielens-small --out runs/search`` does one ``mmgraph sweep`` for each system,
mostly of two learning rates times two values of the key that matters most beside it, with one seed, and writes the
chosen recipe to ``mmgraph/recipes/DATASET/LABEL.toml``. What is in the folder already is only read, so the same command
goes on where it stopped. What all systems share is ``SHARED``; no setting was looked at on the test part.

A recipe that somebody wrote stays as it is: the search replaces only its own, and keeps what these tell of published
figures and ablations. If a run fails the others go on, and the exit code is 1.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import OneLineParser, positive, run_program
from mmgraph import study
from mmgraph.config import apply_overrides
from mmgraph.errors import ConfigError, FitError, nearest
from mmgraph.files import write_file
from mmgraph.study import FIRST_SEED, Event, StudyObserver, Trial
from mmgraph.study.plan import dataset_name
from mmgraph.study.selection import failed_labels
from mmgraph.toml import read_toml, set_keys, to_toml

RECIPES = Path(__file__).resolve().parents[1] / "mmgraph" / "recipes"

_CHOSEN_BY = "# Chosen by `python -m benchmarks.search`"

# What a recipe tells its readers; the search has no say in it.
_NOT_SEARCHED = ("published", "ablations")

SHARED = (
    "training.batch_size=2048",
    "training.max_epochs=200",
    "training.eval_every=4",
    "training.patience=5",
)


class Space(NamedTuple):
    """What is tried of a system: every pair of the values of two keys, four settings in all.

    Attributes:
        key: The key that matters most beside the learning rate.
        values: Two values of it.
        other: The second key and its two values.
        model: Name of the model; by default the label of the space.
        fixed: Overrides that all settings have.
    """

    key: str
    values: Sequence[Any]
    other: tuple[str, Sequence[Any]] = ("training.learning_rate", (2e-3, 5e-3))
    model: str | None = None
    fixed: Sequence[str] = ()

    @property
    def grid(self) -> dict[str, Sequence[Any]]:
        """The settings, as a sweep takes them."""
        key, values = self.other
        return {key: [*values], self.key: [*self.values]}


_PENALTY = "model.reg_weight"
_INNER_PENALTY = "model.backbone.reg_weight"
_SMALL, _MIDDLE, _LARGE = (1e-3, 3e-3), (3e-3, 1e-2), (1e-1, 1.0)

_UNIT = ("model.enc_norm", (False, True))

SPACES: Mapping[str, Space] = {
    "bpr_mf": Space(_PENALTY, _MIDDLE),
    "lightgcn": Space(_PENALTY, _SMALL),
    # Nearly every pair of films shares a user: the 50 strongest of each keep the graph sparse.
    "mm_gef": Space(_PENALTY, _MIDDLE, fixed=["graph.co_item_top_k=50"]),
    # The projection has a number for each column of the features: unpenalised, it learns the training part by heart.
    "vbpr": Space("model.content_reg_weight", (3e-3, 3e-2)),
    # Nothing is trained: the form is tried instead of the learning rate.
    "cb": Space("model.shrink", (0.0, 1.0), other=("model.form", ("profile", "neighbours"))),
    "ngcf": Space(_PENALTY, _MIDDLE),
    # Encoded rows of any length can outweigh the interactions: more depends on that than on the learning rate.
    "mario": Space(_INNER_PENALTY, _MIDDLE, other=_UNIT),
    "mario_lightgcn": Space(
        _INNER_PENALTY,
        _SMALL,
        other=_UNIT,
        model="mario",
        fixed=['model.backbone.name="lightgcn"'],
    ),
    "lattice": Space(_PENALTY, _MIDDLE),
    "freedom": Space("model.drop", (0.3, 0.8)),
    "dragon": Space(_PENALTY, _LARGE),
    # Large first steps of a fresh optimiser, and scores on a smaller scale, undo a part of the first stage.
    "margo": Space("model.weight_scale", (False, True), fixed=["model.second_rate=0.1"]),
    "bm3": Space(_PENALTY, (1e-2, 1e-1)),
    "nbpo": Space(_INNER_PENALTY, _MIDDLE),
    "mgcn": Space(_PENALTY, _MIDDLE),
    "slmrec": Space("model.temperature", (0.2, 0.5)),
    "dualgnn": Space(_PENALTY, _LARGE),
    "grcn": Space(_PENALTY, _LARGE),
    "lirdrec": Space(_PENALTY, (1e-2, 1e-1)),
    # Maps without a penalty on features: at the rates of the others it knows the training part by heart in ten epochs.
    "mmgcn": Space("model.num_layers", (1, 2), other=("training.learning_rate", (2e-4, 5e-4))),
    # The contrast is a sum over the batch: on several modalities its weight is what keeps it from outweighing the rest.
    "lgmrec": Space("model.contrast_weight", (1e-6, 1e-4), fixed=["model.reg_weight=0.1"]),
    # Similarities that learn are nearly one after the first epoch, and nothing is calibrated by them any more.
    "cm3": Space(
        "model.gamma",
        (0.5, 1.0),
        other=("model.detach_sim", (False, True)),
        fixed=["training.learning_rate=0.002"],
    ),
    "micro": Space(_PENALTY, _MIDDLE),
    "maml": Space("model.margin", (0.5, 1.6)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Search for each system in turn, and say what was chosen."""
    options = _parser().parse_args(arguments)
    for label in options.models:
        if label not in SPACES:
            raise ConfigError(
                f"--models must name systems that are searched (got {label!r}){nearest(label, SPACES)}"
            )
    name = dataset_name(options.dataset)
    recipes = options.recipes / name
    recipes.mkdir(parents=True, exist_ok=True)
    kept = {label: _kept(recipes / f"{label}.toml") for label in options.models}
    failed = False
    for label in options.models:
        try:
            record = _search(label, options, out=options.out / name / label)
        except FitError as error:
            print(f"{name}/{label}: {error}", file=sys.stderr, flush=True)
            failed = True
            continue
        failed |= bool(record["failed"])
        dataset = None if Path(options.dataset).is_dir() else name
        text = recipe_text(label, record, dataset=dataset, kept=kept[label])
        write_file(recipes / f"{label}.toml", text.encode())
        best = record["rows"][0]["valid"][record["metric"]][0]
        chosen = ", ".join(f"{key} = {value}" for key, value in record["chosen"].items())
        print(f"{name}/{label}: {record['metric']} {best:.4f} with {chosen}", flush=True)
    if failed:
        sys.exit(1)


def _search(label: str, options: argparse.Namespace, *, out: Path) -> Mapping[str, Any]:
    space = SPACES[label]
    return study.sweep(
        space.model or label,
        space.grid,
        seeds=1,
        first_seed=options.first_seed,
        # Named here, the data set brings no recipe of its own along: all start from the defaults.
        overrides=[f"data.dataset={options.dataset}", *SHARED, *space.fixed],
        out=out,
        place=study.Place(options.jobs),
        observer=_Said(),
    )


def _kept(path: Path) -> dict[str, Any]:
    """Return the tables of a recipe that stay when the search replaces it; there may be no such file.

    Raises:
        ConfigError: the search did not write it.
    """
    if not path.exists():
        return {}
    if not (path.is_file() and path.read_text("utf-8", "replace").startswith(_CHOSEN_BY)):
        raise ConfigError(
            f"{path}: was not written by this search and stays as it is; name another folder with --recipes"
        )
    return {table: values for table, values in read_toml(path).items() if table in _NOT_SEARCHED}


def recipe_text(
    label: str,
    record: Mapping[str, Any],
    *,
    dataset: str | None,
    kept: Mapping[str, Any] | None = None,
) -> str:
    """Return the chosen recipe of a system as TOML under a comment that says how it was chosen.

    Args:
        label: Of its space.
        record: What the sweep found.
        dataset: What the recipe calls the data set, if that comes with the package.
        kept: Tables of the file it replaces that it shall have too.
    """
    space, metric = SPACES[label], record["metric"]
    tried = " and ".join(f"{key} in {values}" for key, values in record["grid"].items())
    failed = failed_labels(record)
    lines = [
        f"{_CHOSEN_BY}: the best of {len(record['rows'])} by validation {metric}, "
        f"seed {record['seeds'][0]} ({record['rows'][0]['valid'][metric][0]:.4f}), with",
        f"# {tried}.",
        *([f"# Failed: {'; '.join(failed)}."] if failed else []),
    ]
    start: dict[str, Any] = {} if dataset is None else {"data": {"dataset": dataset}}
    start["model"] = {"name": space.model or label}
    values = apply_overrides(start, [*SHARED, *space.fixed])
    values = set_keys(values, record["chosen"].items())
    return "\n".join([*lines, to_toml({**values, **(kept or {})})])


class _Said(StudyObserver):
    def told(self, trial: Trial, event: Event) -> None:
        """Say which runs have ended."""
        if event.kind in ("done", "failed"):
            print(f"  {trial.label}: {event.text or event.kind}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m benchmarks.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", default="movielens-small", help="a bundled name or a folder")
    add("--models", nargs="+", default=list(SPACES), metavar="LABEL", help="which systems (all)")
    add("--out", type=Path, required=True, help="folder of the runs")
    add("--recipes", type=Path, default=RECIPES, help="where the chosen recipes go, by data set")
    add("--jobs", type=positive, default=2, help="runs at a time (2)")
    add("--first-seed", type=int, default=FIRST_SEED, help=f"the seed ({FIRST_SEED})")
    return parser


if __name__ == "__main__":
    run_program(main)

"""From a run and a request to a run whose files hold nothing of what was asked to be forgotten."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.config import Recipe, apply_overrides, parse_config, resolve_recipe
from mmgraph.data import MultimodalDataset
from mmgraph.errors import ConfigError, DataError, GraphError
from mmgraph.evaluation import Evaluator
from mmgraph.experiment import Observer, tester_of, train, validate_with, validator_of
from mmgraph.export import RunFolder
from mmgraph.export import run_folder as names
from mmgraph.graph import build_graph
from mmgraph.models.base import Recommender, score_function
from mmgraph.run import Run, build_model, check_place, load_run, load_weights, usable_device
from mmgraph.sparse import use_backend
from mmgraph.training import EpochReport, PairwiseSampler
from mmgraph.training.random_state import own_random
from mmgraph.unlearning.draws import Draws, draw_pairs
from mmgraph.unlearning.fit import unlearn_pairs
from mmgraph.unlearning.record import Outcome, write_run
from mmgraph.unlearning.report import Compared, make_report
from mmgraph.unlearning.request import Ids, NamedPairs, read_request
from mmgraph.unlearning.retain import Division, check_negatives, divide
from mmgraph.unlearning.settings import UnlearningConfig

_LEAST_EPOCHS = 30
_SHARE_OF_EPOCHS = 10


class Unlearning(NamedTuple):
    """The new run, the retrained one if it was asked for, and what :func:`make_report` says of them."""

    run: Run
    gold: Run | None
    report: dict[str, Any]


def unlearn(
    run: str | Path | Run,
    *,
    users: Ids | None = None,
    items: Ids | None = None,
    interactions: NamedPairs | None = None,
    gold: bool = False,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    out: str | Path | None = None,
    dataset: str | Path | None = None,
    device: str = "cpu",
    cache: str | Path | None = None,
    observer: Observer | None = None,
    on_unlearned: Callable[[dict[str, Any]], None] | None = None,
) -> Unlearning:
    """Make a run without some users, items or interactions from one with them, without training anew.

    The graph is built from what is retained; rows of forgotten users and items are drawn anew; then the model unlearns
    the forgotten interactions while it goes on learning the retained ones, see
    :func:`mmgraph.unlearning.fit.unlearn_pairs`; and rows of what is forgotten are taken out. The new run is complete
    and ordinary. No file of it holds anything of the forget set, not even its size: what there is to say about that is
    only in the report that is returned.

    Source: Sinha et al. (MMRecUN), 2025, by its abstract; the readings are in the guide.

    Args:
        run: A complete run of a model that is trained; not changed.
        users: A file or external ids, see :func:`mmgraph.unlearning.request.read_request`; everything of theirs goes.
        items: The same; their features go too.
        interactions: A file or pairs of external ids.
        gold: Train the same recipe on what is retained as well, in a folder of its own, and compare.
        overrides: ``"mix=0.3"`` assignments to the keys of :class:`UnlearningConfig`.
        seed: Of the draws of unlearning; by default the run's. The retrained run has the run's in any case.
        out: Folder of the new run, new or empty; by default ``<run>-unlearned``, numbered if taken. The retrained one
            has ``-gold`` behind it.
        dataset: Where the data set is now, if it has moved.
        device: Where to compute.
        cache: As for :func:`mmgraph.train`.
        observer: Is told what happens.
        on_unlearned: With ``gold``, called with the report without the retrained model, before that is trained: what
            is reported of the forget set is in no file, and training can be interrupted.

    Raises:
        ConfigError: the run is not complete or its model is not trained, a folder is taken or cannot be written, or a
            key is unknown; nothing was written.
        DataError: the request names nothing, too much, or what is unknown; nothing was written.
        FitError: unlearning went wrong; nothing was written.
    """
    observer = observer or Observer()
    source = run if isinstance(run, Run) else load_run(run, dataset=dataset, device=device)
    config, recipe = _settings(source, overrides), source.recipe
    seed = resolve_recipe(recipe, seed=seed).seed
    target = _default_folder(source) if out is None else Path(out)
    _check_folders(RunFolder.next_free(target) if out is None else target, gold=gold)
    observer.phase("reading the data")
    request = read_request(source.dataset, users=users, items=items, interactions=interactions)
    division = divide(source.dataset, request)
    check_negatives(division, pool=recipe.training.negatives)
    recipe = recipe.fitted_to(division.retained.num_items, chosen_too=True)
    with use_backend(recipe.training.sparse_backend), _leaving_too_little(division):
        work = _Work(source, recipe, division, config, seed=seed, cache=cache, observer=observer)
        outcome = work.unlearn()
        made = write_run(
            target,
            source,
            division,
            recipe,
            outcome,
            config=config,
            seed=seed,
            numbered=out is None,
        )
        report_of = partial(make_report, how=outcome.how, seconds=outcome.seconds)
        retrained, known = None, None
        if gold:
            if on_unlearned is not None:
                first = report_of(work.compared(made, None))
                on_unlearned(first)
                known = first["figures"]
            observer.note(f"the unlearned run is in {made.path}; now comes the retrained one")
            retrained = train(
                recipe,
                division.retained,
                out=_beside(made.path),
                device=source.device,
                cache=cache,
                observer=observer,
            )
        observer.phase("comparing")
        report = report_of(work.compared(made, retrained), known=known)
    return Unlearning(made, retrained, report)


@contextmanager
def _leaving_too_little(division: Division) -> Iterator[None]:
    """Name the request where graphs are refused: the settings of a trained run cannot be changed any more.

    Raises:
        DataError: too little is left for these settings.
    """
    try:
        yield
    except GraphError as error:
        rule = str(error).rpartition("; ")[0] or str(error)
        raise DataError(f"forgetting {division.request.kind}: {rule}; name fewer") from None


def _settings(source: Run, overrides: Iterable[str]) -> UnlearningConfig:
    source.check_complete("unlearning")
    if not source.folder.facts()["num_parameters"]:
        raise ConfigError(
            f"{source.path}: unlearning needs a model that is trained (got {source.recipe.model.name}, which is not); "
            "use it on data without what is to be forgotten"
        )
    values = apply_overrides({}, overrides)
    config = parse_config(UnlearningConfig, values, origin="--set")
    if config.max_epochs is not None:
        return config
    epochs = max(_LEAST_EPOCHS, int(source.metrics["epochs"]) // _SHARE_OF_EPOCHS)
    return config.model_copy(update={"max_epochs": epochs})


def _default_folder(source: Run) -> Path:
    return source.path.with_name(f"{source.path.resolve().name}-unlearned")


def _beside(target: Path) -> Path:
    """Return where the retrained run goes."""
    # "." and ".." are no names.
    named = target if target.name not in ("", "..") else target.resolve()
    return named.parent / f"{named.name}-gold"


def _check_folders(target: Path, *, gold: bool) -> None:
    """Refuse folders that are taken or cannot be written, before anything is computed."""
    for folder in (target, _beside(target)) if gold else (target,):
        try:
            RunFolder.check_free(folder)
        except ConfigError:
            raise ConfigError(
                f"{folder}: a run needs a new or empty folder (this one has files); choose another --out"
            ) from None
        check_place(folder)


def _put(model: Recommender, weights: Mapping[str, Tensor]) -> None:
    remedy = "a table with a row for each user or item needs 'user' or 'item' in its name"
    load_weights(model, weights, origin="unlearning", remedy=remedy)


class _Work:
    """The parts that unlearning and the report after it share.

    Args:
        source: The run to unlearn from.
        recipe: Its recipe, for what is retained.
        division: What is forgotten and what is retained.
        config: How to unlearn.
        seed: Of the draws.
        cache: Folder of built graphs.
        observer: Is told what happens.

    Attributes:
        model: The model with rows for all, those of the forgotten included; as fitted by :meth:`unlearn`.
    """

    def __init__(
        self,
        source: Run,
        recipe: Recipe,
        division: Division,
        config: UnlearningConfig,
        *,
        seed: int,
        cache: str | Path | None,
        observer: Observer,
    ) -> None:
        self.begin = time.perf_counter()
        self.source, self.recipe, self.division, self.config = source, recipe, division, config
        self.seed, self.cache, self.observer = seed, cache, observer
        self.device = usable_device(source.device)
        self.draws: Draws = draw_pairs(
            division,
            training=recipe.training,
            config=config,
            block_size=recipe.evaluation.block_size,
            seed=seed,
            device=self.device,
        )
        self.graph = self._graph_of(division.retained)
        self.wide = division.places.widen_graph(self.graph)
        self.model = self._start()
        self.build_s = time.perf_counter() - self.begin

    def unlearn(self) -> Outcome:
        """Unlearn, take out the rows of what is forgotten, and rank the test part."""
        retained, places = self.division.retained, self.division.places
        config, device = self.recipe.evaluation, self.device
        validator = validator_of(retained, config, device) if len(retained.valid) else None
        reports: list[EpochReport] = []
        self.observer.phase(f"unlearning {self.recipe.model.name}")
        with own_random(self.device, seed=self.seed):
            how = unlearn_pairs(
                self.model,
                self._retained(),
                self.draws.forget,
                self.draws.goal,
                config=self.config,
                training=self.recipe.training,
                seed=self.seed,
                validate=partial(self._validate, validator) if validator else None,
                select_by=config.select_by,
                on_epoch=self._telling(reports),
            )
        weights = self.model.state_dict()
        if self.config.graph == "full":
            self.model = self._build(self.wide, weights)
        final = self._build(self.graph, places.narrow(weights))
        valid = dict(validate_with(validator, final)) if validator else {}
        self.observer.phase("ranking the test part")
        test = tester_of(retained, config, device).evaluate(
            score_function(final), self.observer.progress
        )
        seconds = time.perf_counter() - self.begin
        return Outcome(final, how, valid, test, reports, build_s=self.build_s, seconds=seconds)

    def compared(self, made: Run, gold: Run | None) -> Compared:
        """Return what the report is made from: all models with rows for all."""
        models = {"original": self.source.model, "unlearned": self.model}
        runs = {"original": self.source, "unlearned": made}
        if gold is not None:
            untrained = self._build(self.wide)
            weights = {k: v.to(self.device) for k, v in gold.model.state_dict().items()}
            _put(untrained, self.division.places.widen(weights, untrained.state_dict()))
            models["gold"], runs["gold"] = untrained, gold
        return Compared(self.division, self.draws, self.recipe, self.device, models, runs)

    def _graph_of(self, data: MultimodalDataset) -> HeteroData:
        return build_graph(data, self.recipe.graph, cache=self.cache, progress=self.observer.phase)

    def _start(self) -> Recommender:
        """Return the trained model on the graph of the steps, with untrained rows for what is not retained."""
        full = self.config.graph == "full"
        graph = self._graph_of(self.division.whole) if full else self.wide
        model, places = self._build(graph), self.division.places
        trained = self.source.folder.read_tensors(names.WEIGHTS)
        _put(model, trained)
        fresh = self._build(self.wide).state_dict()
        kept = {name: value.to(self.device) for name, value in places.narrow(trained).items()}
        _put(model, places.widen(kept, fresh))
        return model

    def _build(self, graph: HeteroData, weights: Mapping[str, Tensor] | None = None) -> Recommender:
        model = build_model(self.recipe, graph).to(self.device)
        if weights is not None:
            _put(model, weights)
        return model.eval()

    def _retained(self) -> PairwiseSampler:
        places, training = self.division.places, self.recipe.training
        sampler = PairwiseSampler(
            *(rows.to(self.device) for rows in places.pairs(self.division.retained.train)),
            num_items=places.num_items,
            order=training.order,
            pool=training.negatives,
            num_negatives=self.model.num_negatives,
        )
        if training.negatives == "all_items":
            sampler.pool = places.items.to(self.device)
        return sampler

    def _validate(self, validator: Evaluator, model: Recommender) -> Mapping[str, float]:
        score = self.division.places.narrow_scores(score_function(model))
        return validator.evaluate(score).mean

    def _telling(self, reports: list[EpochReport]) -> Callable[[EpochReport], None]:
        limits = {"max_epochs": self.config.max_epochs, "patience": self.config.patience}
        training = self.recipe.training.model_copy(update=limits)
        shown = self.recipe.model_copy(update={"training": training})

        def tell(report: EpochReport) -> None:
            reports.append(report)
            self.observer.epoch(report, shown)

        return tell

"""One run on disk: a recipe and what it was trained to, read back when it is asked for."""

import errno
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.config import Recipe, read_recipe
from mmgraph.data import MultimodalDataset, load_dataset
from mmgraph.errors import ConfigError
from mmgraph.export import Recommendation, RunFolder, read_own_rows, recommend
from mmgraph.export import run_folder as names
from mmgraph.graph import build_graph
from mmgraph.models import get_model
from mmgraph.models.base import Recommender, score_function
from mmgraph.training.random_state import own_random

# What ``metrics.json`` holds, and of which type.
_METRICS = {"epochs": int, "best_epoch": int, "valid": dict, "test": dict}


@dataclass(frozen=True)
class Run:
    """A trained model on disk. The data set, graph and model are loaded when they are asked for.

    Attributes:
        folder: Where everything is.
        recipe: The resolved recipe.
        data_folder: Where the data set is now, if it has moved since.
        device: Where the model computes.
    """

    folder: RunFolder
    recipe: Recipe
    data_folder: str | Path | None = None
    device: str = "cpu"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def metrics(self) -> dict[str, Any]:
        """Validation and test metrics of the best epoch, as in ``metrics.json``.

        Raises:
            ConfigError: the file is missing or damaged.
        """
        path = self.folder / names.METRICS
        metrics = self.folder.read_json(names.METRICS)
        for key, kind in _METRICS.items():
            if not isinstance(metrics.get(key), kind):
                raise ConfigError(
                    f"{path}: must hold {key!r} (got {metrics.get(key)!r}); restore the file or train the run again"
                )
        return metrics

    @property
    def summary(self) -> dict[str, Any]:
        """The figures of the run in one flat object, as ``mmgraph train --json`` prints them."""
        facts, metrics = self.folder.facts(), self.metrics
        return {
            "model": facts["model"],
            "dataset": facts["dataset"],
            "seed": facts["seed"],
            "epochs": metrics["epochs"],
            "best_epoch": metrics["best_epoch"],
            "valid": metrics["valid"],
            "test": metrics["test"],
            "timings": self.folder.read_json(names.TIMINGS),
            "num_parameters": facts["num_parameters"],
            "memory": facts.get("memory"),
            "sparse_backend": self.folder.read_json(names.ENVIRONMENT).get("sparse_backend"),
            "run": str(self.path),
        }

    @cached_property
    def dataset(self) -> MultimodalDataset:
        """The data set of the run, checked to be the one it was trained on."""
        facts = self.folder.facts()
        if facts.get("own_rows"):
            source = data_source(self.recipe, self.data_folder)
            modalities = self.recipe.data.modalities
            dataset = read_own_rows(self.folder, source, modalities=modalities)
        else:
            dataset = load_data(self.recipe, self.data_folder)
        if dataset.content_hash != facts["dataset_hash"]:
            found, expected = dataset.content_hash[:12], facts["dataset_hash"][:12]
            raise ConfigError(
                f"{self.path}: the data set {dataset.source!r} must be the one of the run (its content "
                f"hash is {found}, the run's {expected}); give the folder it was trained on with --dataset"
            )
        return dataset

    @cached_property
    def model(self) -> Recommender:
        """The trained model, in eval mode."""
        graph = build_graph(self.dataset, self.recipe.graph)
        model = build_model(self.recipe, graph).to(usable_device(self.device))
        weights = self.folder.read_tensors(names.WEIGHTS)
        remedy = "restore the file or train anew"
        load_weights(model, weights, origin=str(self.folder / names.WEIGHTS), remedy=remedy)
        return model.eval()

    def check_complete(self, what: str) -> None:
        """Refuse a run that is not complete.

        Args:
            what: What needs it, as a reader calls it.

        Raises:
            ConfigError: training has not ended.
        """
        if not self.folder.is_complete:
            raise ConfigError(
                f"{self.path}: {what} needs a complete run (this one was interrupted); {self.folder.how_to_finish}"
            )

    def recommend(self, users: str | list[str], *, k: int = 20) -> list[Recommendation]:
        """Return the ``k`` best items of users by external id; see ``mmgraph.recommend``."""
        self.check_complete("a recommendation")
        has_vectors = (self.folder / names.EMBEDDINGS).is_file()
        return recommend(self.folder, users, k=k, score=None if has_vectors else self._scores())

    def _scores(self) -> Callable[[Tensor], Tensor]:
        """Return scores of the model for users, given and taken on the CPU, where a run folder is read."""
        score, device = score_function(self.model), usable_device(self.device)
        return lambda users: score(users.to(device)).cpu()


def load_run(run: str | Path, *, dataset: str | Path | None = None, device: str = "cpu") -> Run:
    """Return a run by its folder; ``dataset`` says where its data set is now, if it has moved.

    Raises:
        ConfigError: it is no run folder, one of a newer format, its recipe is damaged, or the device cannot be used.
    """
    usable_device(device)
    folder = RunFolder.open(run)
    if not (folder / names.RECIPE).is_file():
        raise ConfigError(
            f"{folder / names.RECIPE}: the run lacks its recipe; restore it or train anew"
        )
    folder.verify(names.RECIPE)
    return Run(
        folder,
        Recipe.build(read_recipe(folder / names.RECIPE), origin=str(folder / names.RECIPE)),
        dataset,
        device,
    )


def load_data(recipe: Recipe, folder: str | Path | None = None) -> MultimodalDataset:
    """Return the data set that a recipe names, or the one in ``folder`` read the same way.

    Raises:
        ConfigError: neither names one.
        DataError: it is not usable.
    """
    data = recipe.data
    source = data_source(recipe, folder)
    return load_dataset(source, split=data.split, modalities=data.modalities)


def data_source(recipe: Recipe, folder: str | Path | None = None) -> str | Path:
    """Return where the data set of a recipe is: ``folder``, or what the recipe names.

    Raises:
        ConfigError: neither names one.
    """
    source = folder if folder is not None else recipe.data.dataset
    if source is None:
        raise ConfigError(
            "a data set is needed (got none); give --dataset NAME_OR_FOLDER or set data.dataset"
        )
    return source


def build_model(recipe: Recipe, graph: HeteroData) -> Recommender:
    """Return the model of a recipe on a graph, on the CPU, with the initial weights that follow from its seed."""
    with own_random(torch.device("cpu"), seed=recipe.seed):
        return get_model(recipe.model.name)(graph, recipe.model)


def load_weights(
    model: Recommender, weights: Mapping[str, Tensor], *, origin: str, remedy: str
) -> None:
    """Put weights into a model.

    Args:
        model: Changed in place.
        weights: By name.
        origin: Where they come from, for the message.
        remedy: What to do where they are others.

    Raises:
        ConfigError: a name or a shape is not that of such a model.

    Example:
        >>> from mmgraph.models.bpr_mf import BPRMF
        >>> from mmgraph.testing import checkerboard_graph
        >>> model = BPRMF(checkerboard_graph(), BPRMF.Config())
        >>> load_weights(model, model.state_dict(), origin="a copy", remedy="copy it again")
    """
    expected = {name: value.shape for name, value in model.state_dict().items()}
    found = {name: value.shape for name, value in weights.items()}
    if found != expected:
        name = next(n for n in {**expected, **found} if found.get(n) != expected.get(n))
        raise ConfigError(
            f"{origin}: must be the weights of this {model.config.name} ({name!r} is {_shape(found.get(name))} there "
            f"and {_shape(expected.get(name))} in the model); {remedy}"
        )
    model.load_state_dict(dict(weights))


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else str(tuple(shape))


def usable_device(name: str) -> torch.device:
    """Return the device of a name.

    Raises:
        ConfigError: it cannot be used here; the message says why in one line.

    Example:
        >>> usable_device("cpu")
        device(type='cpu')
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # there and back: "meta" holds no values
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["it cannot"])[0]
        raise ConfigError(
            f"--device must be usable here (got {name!r}: {reason}); try cpu"
        ) from None
    return device


def check_place(target: str | Path) -> None:
    """Refuse a file or folder that cannot be made; ask before the work whose result it is for.

    It is tried, in a folder that is removed again: modes alone do not say what a file system lets happen.

    Raises:
        ConfigError: the place cannot be written, or its name is too long.
        OSError: the disk is full or broken.

    Example:
        >>> check_place("/dev/null/run")
        Traceback (most recent call last):
        ...
        mmgraph.errors.ConfigError: /dev/null/run: must be a place that can be written (Not a directory); choose another
    """
    place = Path(target).resolve()
    try:
        above = next((folder for folder in place.parents if folder.exists()), place)
        # The longest name that is written beside a folder while it is made.
        first, *rest = place.relative_to(above).parts or ("",)
        with tempfile.TemporaryDirectory(prefix=f".partial.{first}-", dir=above) as own:
            Path(own, *rest).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        raise ConfigError(
            f"{target}: must be a place that can be written ({error.strerror or error}); choose another"
        ) from None

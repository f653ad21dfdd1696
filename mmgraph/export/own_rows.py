"""The data set of a run whose rows are a part of those in the data folder: the run's own files say which."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from mmgraph.data import MultimodalDataset, SplitConfig, read_kept
from mmgraph.data.interactions import PARTS, InteractionTable
from mmgraph.errors import ConfigError
from mmgraph.export.recommendations import read_part, read_vocabulary
from mmgraph.export.run_folder import SPLIT, RunFolder


def read_own_rows(
    folder: RunFolder, source: str | Path, *, modalities: Sequence[str] | None
) -> MultimodalDataset:
    """Return the users, items and rows that a run has written, with features from where the data set is.

    Args:
        folder: The run.
        source: The folder or bundled name of the data set.
        modalities: As for ``load_dataset``.

    Raises:
        ConfigError: a file of the run is missing or has changed.
        DataError: the data set has no such features, or an id of the split is not in the vocabulary.
    """
    users, items, titles = read_vocabulary(folder)
    tables = [read_part(folder, part, times=True) for part in PARTS]
    known = all("timestamp" in table.columns for table in tables)
    rows = InteractionTable(
        users,
        items,
        np.concatenate([users.encode(table["user"]) for table in tables]),
        np.concatenate([items.encode(table["item"]) for table in tables]),
        pl.concat([table["timestamp"] for table in tables]).to_numpy() if known else None,
        np.repeat(np.arange(len(PARTS), dtype=np.int8), [table.height for table in tables]),
    )
    return read_kept(
        source,
        rows,
        name=str(folder.facts()["dataset"]),
        titles=titles or None,
        split=_split_config(folder),
        modalities=modalities,
    )


def _split_config(folder: RunFolder) -> SplitConfig:
    name = f"{SPLIT}/split.json"
    described = folder.read_json(name)
    folder.verify(name)
    try:
        return SplitConfig.model_validate(described["config"])
    except (KeyError, ValueError):
        raise ConfigError(
            f"{folder / name}: must be as the run wrote it; restore it or train anew"
        ) from None

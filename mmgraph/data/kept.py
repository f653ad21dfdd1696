"""A part of a data set: what is left when rows are taken out, and how that is read back from where it was written.

Rows that are left keep their part of the split. Who and what has no row left goes, as it does when files are read: a
user needs a training row, an item any row. So a part is the data set that files without those rows would hold.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmgraph.data.card import read_card
from mmgraph.data.dataset import (
    MultimodalDataset,
    chosen_modalities,
    count_notes,
    hash_content,
    resolve_folder,
)
from mmgraph.data.features import ModalityFeatures, read_features
from mmgraph.data.interactions import PARTS, Interactions, InteractionTable
from mmgraph.data.split import SplitConfig, hash_split, leakage_note
from mmgraph.errors import DataError

# What reading files counts; nothing of it is known of a part, or may be told.
_COUNTED_WHEN_READ = (
    "below_min_rating",
    "duplicates_dropped",
    "pairs_in_several_splits",
    "dropped_by_k_core",
)
# Of what features are known to be, the facts that no row of the data set can change.
_OF_THE_FILE = ("file", "sha256", "encoder", "dtype", "rows")


def keep_rows(data: MultimodalDataset, keep: Sequence[NDArray[np.bool_]]) -> MultimodalDataset:
    """Return a data set without some rows, and without the users and items that have none left.

    Nothing of what was taken out can be told from the result, not even how much it was: counts, notes and hashes are
    made anew.

    Args:
        data: A data set; not changed.
        keep: Which rows stay, of train, validation and test.

    Returns:
        The rest, whose ``source`` is that of the whole.

    Raises:
        DataError: no training or no test row is left, or a modality is left without any vector.

    Example:
        >>> from mmgraph.testing import checkerboard_dataset
        >>> board = checkerboard_dataset(4)
        >>> part = keep_rows(board, [part.user > 0 for part in (board.train, board.valid, board.test)])
        >>> part.users.ids, part.items.ids, part.test.item.tolist()
        (('1', '2', '3'), ('0', '1', '2', '3'), [1, 2, 3])
    """
    parts = (data.train, data.valid, data.test)
    times = [part.timestamp for part in parts]
    table = InteractionTable(
        data.users,
        data.items,
        np.concatenate([part.user for part in parts]),
        np.concatenate([part.item for part in parts]),
        None if times[0] is None else np.concatenate([time for time in times if time is not None]),
        np.repeat(np.arange(len(parts), dtype=np.int8), [len(part) for part in parts]),
    )
    rows, _ = table.take(np.concatenate(keep)).without_unseen_users()
    left = data.items.encode(rows.items.ids)
    features = {
        name: ModalityFeatures(
            name,
            x=feature.x[left],
            present=feature.present[left],
            provenance={k: v for k, v in feature.provenance.items() if k in _OF_THE_FILE},
        )
        for name, feature in data.features.items()
    }
    titles = None if data.titles is None else tuple(data.titles[item] for item in left.tolist())
    return _assemble(
        rows,
        features,
        name=data.name,
        titles=titles,
        split=data.split_config,
        source=data.source,
    )


def read_kept(
    source: str | Path,
    rows: InteractionTable,
    *,
    name: str,
    titles: Sequence[str] | None,
    split: SplitConfig,
    modalities: Sequence[str] | None,
) -> MultimodalDataset:
    """Return a part of a data set whose rows were written elsewhere; of its folder only the features are read.

    So it does not matter whether the rows that were taken out are still in the folder.

    Args:
        source: The folder or bundled name.
        rows: The rows that are left, with their parts.
        name: Name of the data set.
        titles: Titles of the items of ``rows``.
        split: How the whole was divided.
        modalities: As for ``load_dataset``.

    Raises:
        DataError: the folder, its card or a feature file breaks a rule.
    """
    folder, where = resolve_folder(source)
    card = read_card(folder)
    features = {
        modality: read_features(folder, modality, card=card.features[modality], items=rows.items)
        for modality in chosen_modalities(card, modalities)
    }
    titles = None if titles is None else tuple(titles)
    return _assemble(rows, features, name=name, titles=titles, split=split, source=where)


def _assemble(
    rows: InteractionTable,
    features: Mapping[str, ModalityFeatures],
    *,
    name: str,
    titles: tuple[str, ...] | None,
    split: SplitConfig,
    source: str,
) -> MultimodalDataset:
    # Counted in what is left, where all users have been seen.
    rows, counts = rows.without_unseen_users()
    parts = rows.by_part()
    _check(parts, features)
    counts |= {"rows_read": len(rows), **dict.fromkeys(_COUNTED_WHEN_READ, 0)}
    counts |= {f"{part}_rows": len(of) for part, of in zip(PARTS, parts, strict=True)}
    notes = [note for note in (leakage_note(split, rows.timestamp is not None),) if note]
    notes += count_notes(counts)
    notes.extend(note for feature in features.values() for note in feature.notes)
    return MultimodalDataset(
        name=name,
        users=rows.users,
        items=rows.items,
        train=parts[0],
        valid=parts[1],
        test=parts[2],
        features=features,
        titles=titles,
        split_config=split,
        split_hash=hash_split(rows.users, rows.items, parts),
        content_hash=hash_content(rows, parts, features),
        notes=tuple(notes),
        counts=counts,
        source=source,
        is_part=True,
    )


def _check(parts: Sequence[Interactions], features: Mapping[str, ModalityFeatures]) -> None:
    for name, part in zip(PARTS, parts, strict=True):
        if not len(part) and name != "valid":
            sizes = ", ".join(f"{n} {len(p)}" for n, p in zip(PARTS, parts, strict=True))
            raise DataError(
                f"what is left of a data set must have training and test rows (got {sizes}); take out fewer rows"
            )
    for name, feature in features.items():
        if not feature.present.any():
            raise DataError(
                f"what is left of a data set must have an item with a {name} vector (got none); take out fewer rows, "
                "or train without the modality"
            )

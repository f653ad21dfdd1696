"""From a data-set folder to :class:`MultimodalDataset`, which all later stages take."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mmgraph.data.card import CARD_NAME, DatasetCard, read_card
from mmgraph.data.features import ModalityFeatures, read_features
from mmgraph.data.interactions import (
    PARTS,
    Interactions,
    InteractionTable,
    k_core_rows,
    keep_first_of_pair,
)
from mmgraph.data.readers import read_interactions, read_titles
from mmgraph.data.split import SplitConfig, assign_parts, hash_split, leakage_note
from mmgraph.data.vocabulary import Vocabulary
from mmgraph.errors import DataError, nearest

_LOG = logging.getLogger(__name__)
_BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True, eq=False)
class MultimodalDataset:
    """Users, items, divided interactions and item features, matched by id.

    Attributes:
        name: Name of the data set.
        users: External user ids; every user has at least one training row.
        items: External item ids; every item that occurs in any part.
        train: Training rows.
        valid: Validation rows; may be empty for a split given by the files.
        test: Test rows.
        features: Modality name -> vectors, in the order of the card.
        titles: Title of each item, "" where unknown; None without an items file.
        split_config: How the rows were divided.
        split_hash: Sha256 of the external pairs of each part.
        content_hash: Sha256 of vocabularies, parts and features.
        notes: Sentences that a reader of results should see.
        counts: What was read and what was left out, and why.
        source: The bundled name, or the absolute path of the folder.
        is_part: Whether rows have been taken out since they were read, so that the files of ``source`` say too much;
            see :mod:`mmgraph.data.kept`.
    """

    name: str
    users: Vocabulary
    items: Vocabulary
    train: Interactions
    valid: Interactions
    test: Interactions
    features: Mapping[str, ModalityFeatures]
    titles: tuple[str, ...] | None
    split_config: SplitConfig
    split_hash: str
    content_hash: str
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    source: str
    is_part: bool = False

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.items)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities in their fixed order."""
        return tuple(self.features)


def bundled_datasets() -> dict[str, Path]:
    """Return the data sets that come with mmgraph: name -> folder."""
    return {path.parent.name: path.parent for path in sorted(_BUNDLED.glob(f"*/{CARD_NAME}"))}


def load_dataset(
    path_or_name: str | Path,
    *,
    split: SplitConfig | None = None,
    modalities: Sequence[str] | None = None,
) -> MultimodalDataset:
    """Load a data set: read, filter, divide, number, and attach features and titles.

    Args:
        path_or_name: A folder with a ``dataset.toml``, or the name of a bundled data set.
        split: Overrides the split of the card; without either, the parts given by the files or a
            ratio split.
        modalities: Only these modalities are read; None means all.

    Returns:
        The data set.

    Raises:
        DataError: Nothing of that name, a file breaks a rule, or a part of the split is empty.

    Complexity:
        Linear in the rows, up to sorting; a million rows take about a second.

    Example:
        >>> dataset = load_dataset("movielens-small", modalities=["text"])
        >>> dataset.num_users, dataset.num_items, dataset.modalities
        (659, 2078, ('text',))
    """
    folder, source = resolve_folder(path_or_name)
    card = read_card(folder)
    chosen = chosen_modalities(card, modalities)
    rows, counts = _read_rows(folder, card)
    config = _split_config(card, split)
    given = rows.part if config.method == "given" else None
    part, split_notes = assign_parts(
        rows.user, rows.item, config=config, timestamp=rows.timestamp, given=given
    )
    rows, lost = replace(rows, part=part).without_unseen_users()
    counts |= lost
    parts = rows.by_part()
    _check_parts(parts, config, counts)
    features = {
        name: read_features(folder, name, card=card.features[name], items=rows.items)
        for name in chosen
    }
    for name, interactions in zip(PARTS, parts, strict=True):
        counts[f"{name}_rows"] = len(interactions)
    leakage = leakage_note(config, rows.timestamp is not None)
    notes = [note for note in (leakage, *split_notes, *count_notes(counts)) if note]
    notes.extend(note for feature in features.values() for note in feature.notes)
    _LOG.info(
        "%s: %d rows, %d users, %d items",
        card.name,
        len(rows.user),
        len(rows.users),
        len(rows.items),
    )
    return MultimodalDataset(
        name=card.name,
        users=rows.users,
        items=rows.items,
        train=parts[0],
        valid=parts[1],
        test=parts[2],
        features=features,
        titles=_titles(folder, card, rows.items),
        split_config=config,
        split_hash=hash_split(rows.users, rows.items, parts),
        content_hash=hash_content(rows, parts, features),
        notes=tuple(notes),
        counts=counts,
        source=source,
    )


def describe(dataset: MultimodalDataset) -> dict[str, Any]:
    """Summarise a data set in plain numbers, ready for JSON.

    Args:
        dataset: A loaded data set.

    Returns:
        Counts, sparsity (share of user-item pairs without a row), degree quantiles over all parts,
        coverage of each modality over items and over interactions, duplicates dropped, sizes and
        hash of the split, and notes.
    """
    parts = dict(zip(PARTS, (dataset.train, dataset.valid, dataset.test), strict=True))
    user = np.concatenate([part.user for part in parts.values()])
    item = np.concatenate([part.item for part in parts.values()])
    modalities = {
        name: {
            "dim": feature.dim,
            "items": int(feature.present.sum()),
            "item_coverage": feature.coverage,
            "interaction_coverage": float(feature.present[item].mean()),
            **feature.provenance,
        }
        for name, feature in dataset.features.items()
    }
    return {
        "name": dataset.name,
        "source": dataset.source,
        "num_users": dataset.num_users,
        "num_items": dataset.num_items,
        "num_interactions": len(user),
        "sparsity": 1.0 - len(user) / (dataset.num_users * dataset.num_items),
        "degree_quantiles": {
            "users": _quantiles(np.bincount(user, minlength=dataset.num_users)),
            "items": _quantiles(np.bincount(item, minlength=dataset.num_items)),
        },
        "modalities": modalities,
        "titles": sum(title != "" for title in dataset.titles or ()),
        "duplicates_dropped": dataset.counts["duplicates_dropped"],
        "counts": dict(dataset.counts),
        "split": {
            "config": dataset.split_config.model_dump(mode="json"),
            "rows": {name: len(part) for name, part in parts.items()},
            "users": {name: len(np.unique(part.user)) for name, part in parts.items()},
            "hash": dataset.split_hash,
        },
        "content_hash": dataset.content_hash,
        "notes": list(dataset.notes),
    }


def resolve_folder(path_or_name: str | Path) -> tuple[Path, str]:
    """Return the folder and its ``source``; a folder with a card comes before a bundled data set of the same name."""
    folder = Path(path_or_name)
    bundled = bundled_datasets()
    if not (folder / CARD_NAME).is_file():
        if str(path_or_name) in bundled:
            return bundled[str(path_or_name)], str(path_or_name)
        if folder.is_file():
            raise DataError(f"{folder}: is a file; give the folder that holds {CARD_NAME}")
        if not folder.is_dir():
            raise DataError(
                f"{path_or_name}: no such folder and no bundled data set of that name; "
                f"bundled: {', '.join(bundled) or 'none'}"
            )
    return folder, str(folder.resolve())


def chosen_modalities(card: DatasetCard, modalities: Sequence[str] | None) -> list[str]:
    """Return the modalities of a card that are wanted, in its order; None means all."""
    if modalities is None:
        return list(card.features)
    for name in modalities:
        if name not in card.features:
            hint = nearest(name, card.features) or "; it has none"
            raise DataError(f"{card.name}: no modality {name!r}{hint}")
    return [name for name in card.features if name in modalities]


def _split_config(card: DatasetCard, split: SplitConfig | None) -> SplitConfig:
    if split is not None:
        return split
    config = card.split or SplitConfig()
    if card.interactions.has_given_split and "method" not in config.model_fields_set:
        return config.model_copy(update={"method": "given"})
    return config


def _read_rows(folder: Path, card: DatasetCard) -> tuple[InteractionTable, dict[str, int]]:
    raw = read_interactions(folder, card.interactions)
    frame = raw.frame
    counts = {"rows_read": raw.rows_read, "below_min_rating": 0}
    if card.interactions.min_rating is not None:
        frame = frame.filter(pl.col("rating") >= card.interactions.min_rating)
        counts["below_min_rating"] = raw.rows_read - frame.height
    users, items = Vocabulary.build(frame["user"]), Vocabulary.build(frame["item"])
    rows = InteractionTable(
        users,
        items,
        users.encode(frame["user"]),
        items.encode(frame["item"]),
        frame["timestamp"].to_numpy() if "timestamp" in frame else None,
        frame["split"].to_numpy() if "split" in frame else None,
    )
    kept, pairs_in_several = keep_first_of_pair(
        rows.user, rows.item, timestamp=rows.timestamp, part=rows.part
    )
    counts["duplicates_dropped"] = frame.height - len(kept)
    counts["pairs_in_several_splits"] = pairs_in_several
    rows = rows.take(kept)
    counts["dropped_by_k_core"] = 0
    if card.interactions.k_core is not None:
        in_core = k_core_rows(rows.user, rows.item, k=card.interactions.k_core)
        counts["dropped_by_k_core"] = len(in_core) - int(in_core.sum())
        rows = rows.take(in_core).renumbered()
    if not len(rows.user):
        raise DataError(
            f"{card.name}: at least one interaction must be left (read {raw.rows_read}, "
            f"below min_rating {counts['below_min_rating']}, "
            f"outside the k-core {counts['dropped_by_k_core']}); "
            "lower interactions.min_rating or interactions.k_core"
        )
    return rows, counts


def _check_parts(
    parts: Sequence[Interactions], config: SplitConfig, counts: Mapping[str, int]
) -> None:
    for name, part in zip(PARTS, parts, strict=True):
        may_be_empty = name == "valid" and config.method == "given" and config.valid_from_train == 0
        if not len(part) and not may_be_empty:
            sizes = ", ".join(
                f"{part} {len(rows)}" for part, rows in zip(PARTS, parts, strict=True)
            )
            lost = counts["rows_of_users_without_train"]
            raise DataError(
                f"split: the {name} part must not be empty (method {config.method!r} gives "
                f"{sizes}; {lost} rows of users without a train row dropped); "
                "change split.method or its shares"
            )


def count_notes(counts: Mapping[str, int]) -> list[str]:
    """Return what a reader should know about the rows that were left out."""
    notes = []
    if counts["duplicates_dropped"]:
        notes.append(
            f"{counts['duplicates_dropped']} repeated user-item rows were dropped; "
            "the earliest of each pair stays."
        )
    if counts["pairs_in_several_splits"]:
        notes.append(
            f"{counts['pairs_in_several_splits']} pairs stood in several parts and stay in the "
            "first of train, valid, test."
        )
    if counts["rows_of_users_without_train"]:
        notes.append(
            f"{counts['test_users_without_train']} test users and "
            f"{counts['valid_users_without_train']} validation users have no training row; "
            f"their {counts['rows_of_users_without_train']} rows were dropped."
        )
    if counts["items_without_train"]:
        notes.append(
            f"{counts['items_without_train']} items have no training row; they stay candidates."
        )
    return notes


def _titles(folder: Path, card: DatasetCard, items: Vocabulary) -> tuple[str, ...] | None:
    table = None if card.items is None else read_titles(folder, card.items)
    if table is None:
        return None
    item = items.encode(table["id"], unknown="mark")
    titles = [""] * len(items)
    for index, title in zip(item.tolist(), table["title"].to_list(), strict=True):
        if index >= 0:
            titles[index] = title
    return tuple(titles)


def hash_content(
    rows: InteractionTable, parts: Sequence[Interactions], features: Mapping[str, ModalityFeatures]
) -> str:
    """Return the sha256, in hexadecimal, of vocabularies, parts and features."""
    digest = hashlib.sha256(f"{rows.users.hash}{rows.items.hash}".encode())
    for part in parts:
        timestamp = () if part.timestamp is None else (part.timestamp,)
        for array in (part.user, part.item, *timestamp):
            _update(digest, array)
    for name, feature in features.items():
        digest.update(name.encode())
        _update(digest, feature.x)
        _update(digest, feature.present)
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", array: NDArray[np.generic]) -> None:
    """Add an array with its dtype and shape, little-endian on every machine."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    digest.update(f"{little.dtype.str}{little.shape}".encode())
    digest.update(little.data)


def _quantiles(degrees: NDArray[np.int64]) -> dict[str, float]:
    names = ("min", "q25", "q50", "q75", "max")
    values = np.quantile(degrees, [0.0, 0.25, 0.5, 0.75, 1.0])
    return {name: float(value) for name, value in zip(names, values, strict=True)}

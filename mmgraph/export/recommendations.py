"""Lists for users by their external ids, from a run folder alone: neither raw data nor graph is needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from mmgraph.data import Vocabulary
from mmgraph.errors import ConfigError
from mmgraph.evaluation.ranking import UserItems, rank_items
from mmgraph.export.run_folder import EMBEDDINGS, SPLIT, VOCABULARY, RunFolder

Score = Callable[[Tensor], Tensor]

_BLOCK = 1024
_TIMES = "timestamp"


@dataclass(frozen=True)
class Recommendation:
    """One line of a list; ``held_out`` marks an item of the user's test part, which the model never saw."""

    user: str
    rank: int
    item: str
    title: str
    score: float
    held_out: bool


def recommend(
    run: str | Path | RunFolder,
    users: Sequence[str] | str,
    *,
    k: int = 20,
    score: Score | None = None,
) -> list[Recommendation]:
    """Return the ``k`` best items of each user, without those of their training and validation history.

    Args:
        run: A complete run folder.
        users: External ids of users, or one.
        k: Length of each list; shorter where fewer items are left.
        score: Scores of all items for user indices, for models whose score is not an inner product.

    Returns:
        All lists one after the other, best first; ties by the order of the catalogue.

    Raises:
        DataError: a user is unknown; the message names the nearest.
        ConfigError: k is out of range, or the run has no vectors and no ``score`` is given.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    user_ids, item_ids, titles = read_vocabulary(folder)
    titles = titles or [""] * len(item_ids)
    if not 1 <= k <= len(item_ids):
        raise ConfigError(
            f"k must be between 1 and num_items (got {k} with {len(item_ids)} items); change -k"
        )
    wanted = [users] if isinstance(users, str) else list(users)
    rows = torch.tensor([user_ids.index(user) for user in wanted], dtype=torch.long)
    score = score or _inner_product(folder)
    history = {
        part: _pairs(folder, part, user_ids, item_ids) for part in ("train", "valid", "test")
    }
    index = partial(UserItems.from_pairs, num_users=len(user_ids), num_items=len(item_ids))
    known = torch.cat([history["train"], history["valid"]], dim=1)
    seen = index(*known, name="history")
    test = index(*history["test"], name="test part")
    block = max(1, min(_BLOCK, len(rows)))
    top = rank_items(score, rows, k=k, num_items=len(item_ids), seen=seen, block_size=block)
    values = torch.cat(
        [
            score(part).gather(1, of.clamp(min=0))
            for part, of in zip(rows.split(block), top.split(block), strict=True)
        ]
    )
    held_out = test.contains(rows[:, None], top)
    return [
        Recommendation(
            wanted[row],
            place + 1,
            item_ids.ids[item],
            titles[item],
            float(values[row, place]),
            bool(held_out[row, place]),
        )
        for row, items in enumerate(top.tolist())
        for place, item in enumerate(items)
        if item >= 0
    ]


def to_table(recommendations: Sequence[Recommendation]) -> pl.DataFrame:
    """Return recommendations as a table with a column per field, for csv and Parquet.

    Example:
        >>> to_table([Recommendation("u7", 1, "i3", "Heat", 2.5, False)]).columns
        ['user', 'rank', 'item', 'title', 'score', 'held_out']
    """
    schema = {
        "user": pl.String,
        "rank": pl.Int64,
        "item": pl.String,
        "title": pl.String,
        "score": pl.Float64,
        "held_out": pl.Boolean,
    }
    return pl.DataFrame([vars(r) for r in recommendations], schema=schema)


def _inner_product(folder: RunFolder) -> Score:
    if not (folder / EMBEDDINGS).is_file():
        raise ConfigError(
            f"{folder.path}: the run has no {EMBEDDINGS}; finish it, or rank with the model itself"
        )
    vectors = folder.read_tensors(EMBEDDINGS)
    return lambda users: vectors["user"][users] @ vectors["item"].T


def read_vocabulary(folder: RunFolder) -> tuple[Vocabulary, Vocabulary, list[str]]:
    """Return users, items and titles of a run, no titles where the data set has none.

    Raises:
        ConfigError: the file is missing or not what the run wrote.
    """
    vocabulary = folder.read_json(VOCABULARY)
    folder.verify(VOCABULARY)
    lists = [vocabulary.get(key) or [] for key in ("users", "items", "titles")]
    if not lists[0] or not lists[1] or not all(isinstance(ids, list) for ids in lists):
        raise ConfigError(
            f"{folder / VOCABULARY}: must hold lists of users and items; restore the file or train anew"
        )
    users, items, titles = lists
    return Vocabulary(users), Vocabulary(items), titles


def read_part(folder: RunFolder, part: str, *, times: bool = False) -> pl.DataFrame:
    """Return the external ids of one part of a run's split, and the times if they are wanted and known.

    Raises:
        ConfigError: the file is missing or not what the run wrote.
    """
    path = folder / SPLIT / f"{part}.csv"
    types = {"user": pl.String, "item": pl.String}
    try:
        has_times = times and _TIMES in pl.read_csv(path, n_rows=0).columns
        columns = [*types, _TIMES] if has_times else [*types]
        table = pl.read_csv(path, columns=columns, schema_overrides=types, infer_schema_length=None)
        folder.verify(f"{SPLIT}/{part}.csv")
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{path}: must be the csv this run wrote ({reason}); restore it or train anew"
        ) from None
    return table


def _pairs(folder: RunFolder, part: str, users: Vocabulary, items: Vocabulary) -> Tensor:
    table = read_part(folder, part)
    return torch.stack(
        [
            torch.from_numpy(users.encode(table["user"])),
            torch.from_numpy(items.encode(table["item"])),
        ]
    )

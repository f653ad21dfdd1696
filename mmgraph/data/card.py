"""The description of a data-set folder: ``dataset.toml``.

A card says which files hold what. It is checked completely before any other file is opened, so a
misspelt key is reported with its full dotted path instead of being ignored.
"""

import keyword
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mmgraph.data.split import SplitConfig
from mmgraph.errors import DataError, explain_validation

CARD_NAME = "dataset.toml"

TableFormat = Literal["csv", "tsv", "inter", "parquet", "movielens-dat", "lightgcn", "lattice-json"]

# Formats whose columns are fixed by the format itself; naming columns for them would be a
# misunderstanding.
_COLUMNLESS = ("lightgcn", "lattice-json")


def _check_inside(value: str) -> str:
    parts = value.replace("\\", "/").split("/")
    if not value.strip():
        raise ValueError("a file name must not be empty")
    if parts[0] == "" or ":" in parts[0] or ".." in parts:
        raise ValueError(
            f"files must lie inside the data-set folder (got {value!r}); "
            "copy or link the file there and give its path relative to the folder"
        )
    return value


def _check_separator(value: str) -> str:
    if len(value.encode()) != 1:
        raise ValueError(
            f"a separator is one ASCII character (got {value!r}); "
            "for '::' use format = \"movielens-dat\""
        )
    return value


InsidePath = Annotated[str, AfterValidator(_check_inside)]
Separator = Annotated[str, AfterValidator(_check_separator)]


class _Table(BaseModel):
    """Rules of every table: no unknown key, no silent conversion, no change later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class InteractionsCard(_Table):
    """The ``[interactions]`` table: where the user-item rows are and how to read them.

    Attributes:
        file: Table of interactions; for ``lattice-json`` the folder with train.json, val.json,
            test.json.
        separator: One character; by default chosen by the format.
        user: Column of the external user ids.
        item: Column of the external item ids.
        split: Column with the part of each row (0/1/2 or train/valid/test).
        rating: Column of the ratings.
        timestamp: Column of the times, numbers that grow with time.
        min_rating: Rows rated lower are left out.
        k_core: Users and items with fewer rows are left out, again and again until none is left.
        format: Needed where the ending of the file name does not tell.
        train: Training file of the ``lightgcn`` format.
        test: Test file of the ``lightgcn`` format.
    """

    file: InsidePath | None = None
    separator: Separator | None = None
    user: str | None = None
    item: str | None = None
    split: str | None = None
    rating: str | None = None
    timestamp: str | None = None
    min_rating: Annotated[float, Field(allow_inf_nan=False)] | None = None
    k_core: Annotated[int, Field(ge=1)] | None = None
    format: TableFormat | None = None
    train: InsidePath | None = None
    test: InsidePath | None = None

    @property
    def has_given_split(self) -> bool:
        """Whether the files themselves say which part each row belongs to."""
        return self.split is not None or self.format in _COLUMNLESS

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.format == "lightgcn":
            if self.train is None or self.test is None or self.file is not None:
                raise ValueError(
                    'format = "lightgcn" needs the keys train and test, and no key file'
                )
        elif self.train is not None or self.test is not None:
            raise ValueError(
                'train and test name the two files of format = "lightgcn"; '
                "use file (and split for a column with the parts) for other formats"
            )
        elif self.file is None:
            raise ValueError("file is missing; name the file that holds the interactions")
        if self.format in _COLUMNLESS:
            for key in ("user", "item", "split", "rating", "timestamp", "separator", "min_rating"):
                if getattr(self, key) is not None:
                    raise ValueError(
                        f'{key} has no meaning for format = "{self.format}"; remove it'
                    )
        if self.min_rating is not None and self.rating is None and self.format != "movielens-dat":
            raise ValueError("min_rating needs rating, the column that holds the ratings")
        return self


class ItemsCard(_Table):
    """The ``[items]`` table: titles and pictures of the items.

    Attributes:
        file: Table with one row an item.
        format: Needed where the ending of the file name does not tell.
        id: Column of the external item ids.
        title: Column of the titles.
        image: Path of an item's picture with ``{column}`` for the id; nothing here opens it.
    """

    file: InsidePath
    format: Literal["csv", "tsv", "inter", "parquet", "movielens-dat"] | None = None
    id: str | None = None
    title: str | None = None
    image: InsidePath | None = None


class FeatureCard(_Table):
    """A ``[features.<name>]`` table: the vectors of one modality.

    Attributes:
        file: ``.npy`` or ``.safetensors``, one row an item.
        ids: Csv with a header and one id a row; without it row r belongs to the item with id r.
        encoder: What made the vectors; kept as provenance.
    """

    file: InsidePath
    ids: InsidePath | None = None
    encoder: str = ""

    @field_validator("file")
    @classmethod
    def _check_ending(cls, value: str) -> str:
        if not value.endswith((".npy", ".safetensors")):
            raise ValueError(
                f"features are read from .npy or .safetensors (got {value!r}); "
                "save the array with numpy.save"
            )
        return value


def _check_modality(name: str) -> str:
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        raise ValueError(
            f"a modality is called by a Python identifier (got {name!r}); "
            "use letters, digits and underscores"
        )
    return name


def _check_name(name: str) -> str:
    """Refuse what cannot be the name of one folder: runs, graphs and recipes go by it."""
    inside = name.isprintable() and not set(name) & set("/\\") and not name.startswith(".")
    if not inside or not 0 < len(name) <= 100:
        raise ValueError(
            f"a data set's runs lie in a folder of its name (got {name!r}); use 1 to 100 printable characters, no / "
            "or \\, and no dot in front"
        )
    return name


class DatasetCard(_Table):
    """All of ``dataset.toml``.

    Attributes:
        name: Short name of the data set; by default that of the folder.
        licence: Terms under which the data may be used.
        source: Where the data came from.
        interactions: The user-item rows.
        split: How the rows are divided; None means as given, or the default ratio split.
        items: Titles, or None.
        features: Modalities in the order of the file.
    """

    name: Annotated[str, AfterValidator(_check_name)]
    licence: str = ""
    source: str = ""
    interactions: InteractionsCard
    split: SplitConfig | None = None
    items: ItemsCard | None = None
    features: dict[Annotated[str, AfterValidator(_check_modality)], FeatureCard] = {}


def read_card(folder: Path) -> DatasetCard:
    """Read and check ``dataset.toml`` of a data-set folder.

    Args:
        folder: The data-set folder.

    Returns:
        The checked card.

    Raises:
        DataError: The card is missing, is not TOML, or has a key that is unknown or of the wrong
            type.
    """
    path = folder / CARD_NAME
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{path}: no such file; a data-set folder needs a {CARD_NAME} that describes its files"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); save it as UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not valid TOML: {reason}; correct that place") from None
    values.setdefault("name", folder.resolve().name)
    try:
        return DatasetCard.model_validate(values)
    except ValidationError as error:
        reason = explain_validation(error.errors(include_url=False), _known_keys)
        raise DataError(f"{path}: {reason}") from None


def _known_keys(table: tuple[str, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "interactions": InteractionsCard,
        "split": SplitConfig,
        "items": ItemsCard,
        "features": FeatureCard,
    }
    model = models[table[0]] if table else DatasetCard
    return list(model.model_fields)

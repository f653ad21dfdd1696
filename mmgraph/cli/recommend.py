"""``mmgraph recommend``: lists for users by their own ids, from a run folder."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mmgraph.cli.console import JsonFlag, print_json, print_table, results, say
from mmgraph.errors import ConfigError
from mmgraph.files import write_file

if TYPE_CHECKING:
    from mmgraph.export import Recommendation

EXAMPLE = "Example: mmgraph recommend runs/demo/mm_gef --user 15 -k 10 --out top.csv"

_ENDINGS = (".csv", ".parquet", ".json")


def recommend(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    user: Annotated[
        list[str], typer.Option(metavar="ID", help="A user, by external id; may be given again.")
    ],
    k: Annotated[int, typer.Option("--k", "-k", help="Length of each list.")] = 20,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the lists to a .csv, .parquet or .json file."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file if it is there.")] = False,
    json: JsonFlag = False,
) -> None:
    """Recommend items to users; what they had in training and validation is left out."""
    check_target(out, overwrite=overwrite)
    from mmgraph.experiment import load_run

    loaded = load_run(run)
    found = loaded.recommend(list(dict.fromkeys(user)), k=k)
    value = {
        "run": str(loaded.path),
        "k": k,
        "recommendations": [vars(entry) for entry in found],
    }
    if out is not None:
        write(out, found, value)
    if json:
        print_json(value)
    elif out is None:
        print_lists(results(), found)
    if out is not None:
        say(f"{len(found)} recommendations written to {out}")


def check_target(out: Path | None, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before anything is computed.

    Raises:
        ConfigError: the ending is unknown, the folder is missing or cannot be written, or the file exists.
    """
    if out is None:
        return
    if out.suffix not in _ENDINGS:
        raise ConfigError(
            f"--out must end in {', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]} (got {str(out)!r}); rename it"
        )
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: the folder {out.parent} must exist; make it first")
    if out.is_dir() or (out.exists() and not overwrite):
        raise ConfigError(f"--out {out}: exists already; choose another name or add --overwrite")
    from mmgraph.run import check_place

    check_place(out)


def write(out: Path, found: Sequence["Recommendation"], value: dict[str, Any]) -> None:
    """Write lists in the format that the ending names; the file appears whole or not at all."""
    import json

    from mmgraph.export import to_table

    # Made in memory: where the disk is full, polars has errors of its own.
    content = io.BytesIO()
    if out.suffix == ".json":
        text = json.dumps(value, ensure_ascii=False, indent=2)
        content.write(f"{text}\n".encode())
    elif out.suffix == ".csv":
        to_table(found).write_csv(content)
    else:
        to_table(found).write_parquet(content)
    write_file(out, content.getvalue())


def print_lists(console: Console, found: Sequence["Recommendation"]) -> None:
    """Show one table a user; a mark shows items of the user's test part, which the model never saw."""
    for user in dict.fromkeys(entry.user for entry in found):
        mine = [entry for entry in found if entry.user == user]
        rows = [
            [str(entry.rank), entry.item, entry.title, "hit" if entry.held_out else "", entry.score]
            for entry in mine
        ]
        columns = ["rank", "item", "title", "held out", "score"]
        print_table(console, f"For user {user}", columns, rows, left=4)
    if any(entry.held_out for entry in found):
        console.print(
            "hit: the user chose this item later; it was held out and never seen in training."
        )

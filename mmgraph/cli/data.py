"""``mmgraph data``: which data sets there are, and what one of them holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mmgraph.cli.console import JsonFlag, print_json, print_table, results, say

app = typer.Typer(
    help="List and describe data sets.",
    epilog="Example: mmgraph data describe movielens-small",
)


@app.command("list", epilog="Example: mmgraph data list")
def list_datasets(json: JsonFlag = False) -> None:
    """List the data sets that come with mmgraph."""
    from mmgraph.data import bundled_datasets, read_card

    found = []
    for name, folder in bundled_datasets().items():
        card = read_card(folder)
        found.append(
            {
                "name": name,
                "source": card.source,
                "modalities": list(card.features),
                "licence": card.licence,
                "folder": str(folder),
            }
        )
    if json:
        print_json({"datasets": found})
        return
    rows = [[d["name"], d["source"], ", ".join(d["modalities"]), d["licence"]] for d in found]
    columns = ["name", "source", "modalities", "licence"]
    print_table(results(), "Bundled data sets", columns, rows, left=4)
    say("Any folder with a dataset.toml is a data set too: mmgraph data describe FOLDER")


@app.command(epilog="Example: mmgraph data describe movielens-small --split-out split/")
def describe(
    dataset: Annotated[
        str, typer.Argument(metavar="FOLDER_OR_NAME", help="A data-set folder or a bundled name.")
    ],
    split_out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write the split here as csv files, for other programs to use."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show counts, degrees, modalities, the split and what a reader of results should know."""
    from mmgraph.data import describe as describe_dataset
    from mmgraph.data import load_dataset, write_split

    if split_out is not None:
        from mmgraph.run import check_place

        check_place(split_out)
    loaded = load_dataset(dataset)
    facts = describe_dataset(loaded)
    if split_out is not None:
        facts["split_out"] = str(write_split(loaded, split_out))
    if json:
        print_json(facts)
        return
    _print_facts(results(), facts)
    if split_out is not None:
        say(f"split written to {split_out}")


def _print_facts(console: Console, facts: Mapping[str, Any]) -> None:
    counts = [
        ["users", facts["num_users"]],
        ["items", facts["num_items"]],
        ["interactions", facts["num_interactions"]],
        ["sparsity", f"{facts['sparsity']:.4%}"],
        ["items with a title", facts["titles"]],
        ["repeated rows dropped", facts["duplicates_dropped"]],
        *([name.replace("_", " "), n] for name, n in _left_out(facts["counts"]).items()),
    ]
    print_table(console, f"{facts['name']} ({facts['source']})", ["", "count"], counts)
    degrees = facts["degree_quantiles"]
    names = list(degrees["users"])
    rows = [[side, *(f"{degrees[side][name]:g}" for name in names)] for side in degrees]
    print_table(console, "Interactions of each", ["", *names], rows)
    _print_modalities(console, facts["modalities"])
    split = facts["split"]
    rows = [[part, split["rows"][part], split["users"][part]] for part in split["rows"]]
    title = f"Split: {split['config']['method']}, hash {split['hash'][:16]}"
    print_table(console, title, ["part", "rows", "users"], rows)
    for note in facts["notes"]:
        console.print(f"Note: {note}", markup=False)


def _left_out(counts: Mapping[str, int]) -> dict[str, int]:
    """Return what was read and lost on the way; the rest stands in the other tables."""
    shown = ("duplicates_dropped", "train_rows", "valid_rows", "test_rows")
    return {name: n for name, n in counts.items() if name not in shown and n}


def _print_modalities(console: Console, modalities: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [
        [
            name,
            m.get("encoder", "").split(",")[0],
            m["dim"],
            m["items"],
            f"{m['item_coverage']:.1%}",
            f"{m['interaction_coverage']:.1%}",
        ]
        for name, m in modalities.items()
    ]
    columns = ["modality", "encoder", "dim", "items", "of items", "of interactions"]
    print_table(console, "Modalities", columns, rows, left=2)

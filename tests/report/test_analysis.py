"""Pictures of analyses hold what the numbers say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mmgraph.report import save_attention, save_preservation, save_weights
from mmgraph.report.figure import COLOURS


def words(svg: Path) -> list[str]:
    """Return the pieces of text in a picture."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text(encoding="utf-8"))


def areas(svg: Path) -> int:
    """Return the number of closed, filled shapes."""
    return len(re.findall(r'<path d="[^"]*"[^>]*fill-opacity', svg.read_text(encoding="utf-8")))


def group(means: list[float], counts: list[int]) -> dict[str, Any]:
    return {
        "items": 4,
        "mean": sum(means) / len(means) if sum(counts) else None,
        "spread": None,
        "means": means,
        "counts": [counts] * len(means),
    }


def preservation(runs: int) -> dict[str, Any]:
    means = [0.1 * (run + 1) for run in range(runs)]
    edges, all_items = [0.0, 0.25, 0.5], group(means, [1, 3])
    return {
        "model": "mario",
        "dataset": "a_b $x$",
        "final": "per_modality",
        "runs": [{"run": "r", "seed": run} for run in range(runs)],
        "modalities": {
            "text": {"edges": edges, "all": all_items, "high_degree": group(means, [0, 2])},
            "image": {"edges": edges, "all": all_items, "high_degree": group(means, [0, 0])},
        },
    }


@pytest.mark.parametrize("runs", [1, 3])
def test_preservation(tmp_path: Path, runs: int) -> None:
    record = preservation(runs)
    files = save_preservation(tmp_path / "x", record)
    assert json.loads(files[0].read_text()) == record
    seen = words(files[2])
    assert seen.count("all items") == seen.count("high-degree items") == 2  # once a panel
    assert {"text", "image"} <= set(seen)
    seeds = "1 seed" if runs == 1 else "3 seeds"
    assert f"mario on a_b $x$, per modality vectors, {seeds}" in seen  # no mathematics
    assert (areas(files[2]) > 0) == (runs == 1)  # of several runs only the lines are drawn


def weights(*labels: str) -> dict[str, Any]:
    modality = {"items": 4, "mean": 0.25, "std": 0.1, "in_middle": 0.0, "counts": [3, 1]}
    empty = {"items": 0, "mean": None, "std": None, "in_middle": None, "counts": [0, 0]}
    return {
        "model": "margo",
        "dataset": "toys",
        "middle": [0.4, 0.6],
        "edges": [0.0, 0.5, 1.0],
        "runs": [
            {"label": label, "modalities": {"text": modality, "image": empty}} for label in labels
        ],
    }


def test_weights_of_two_runs(tmp_path: Path) -> None:
    files = save_weights(tmp_path / "x", weights("full", "without"))
    seen = words(files[2])
    assert seen.count("full: mean 0.250") == seen.count("without: mean 0.250") == 1
    assert seen.count("full: no items") == 1
    assert "margo on toys" in seen


def attention(history: int, recommended: int) -> dict[str, Any]:
    def item(number: int) -> dict[str, Any]:
        shares = {"interactions": 0.5, "text": 0.3, "image": 0.2}
        return {"item": f"i{number}", "title": "" if number else "Só $5\n達", "shares": shares}

    return {
        "model": "mario",
        "dataset": "toys",
        "user": "u<1>",
        "parts": ["interactions", "text", "image"],
        "history": [item(number) for number in range(history)],
        "recommended": [item(number) for number in range(recommended)],
    }


def test_attention(tmp_path: Path) -> None:
    files = save_attention(tmp_path / "x", attention(7, 3), rows=4)
    seen = words(files[2])
    assert "Training items, 4 of 7" in seen
    assert "Recommended" in seen
    assert seen.count("Só $5 達") == 2
    assert [name for name in seen if re.fullmatch(r"i\d", name)] == ["i1", "i2", "i3", "i1", "i2"]
    assert "mario on toys, user u&lt;1&gt;" in seen
    assert all(seen.count(part) == 1 for part in ("interactions", "text", "image"))


def test_no_picture_is_too_tall_to_be_opened(tmp_path: Path) -> None:
    files = save_attention(tmp_path / "x", attention(500, 5), rows=500)
    assert "Training items, 40 of 500" in words(files[2])
    assert len(json.loads(files[0].read_text())["history"]) == 500


def test_empty_lists_are_drawn(tmp_path: Path) -> None:
    assert len(save_attention(tmp_path / "x", attention(1, 0), rows=4)) == 3


def test_more_parts_and_runs_than_colours_are_all_drawn(tmp_path: Path) -> None:
    many = len(COLOURS) + 2
    parts = [f"part {number}" for number in range(many)]
    item = {"item": "i", "title": "", "shares": dict.fromkeys(parts, 1 / many)}
    record = {**attention(0, 0), "parts": parts, "history": [item], "recommended": [item]}
    svg = save_attention(tmp_path / "attention", record, rows=1)[2]
    assert [part for part in words(svg) if part in parts] == parts
    # The ones that have a colour again are told from the first by a hatch, as are those of the legend.
    fills = re.findall(r"fill: url\(#", svg.read_text(encoding="utf-8"))
    assert len(fills) == 2 * 2 + 2

    svg = save_weights(tmp_path / "weights", weights(*parts))[2]
    assert [text for text in words(svg) if text.endswith("mean 0.250")] == [
        f"{part}: mean 0.250" for part in parts
    ]
    assert re.search(
        r"stroke: #0072b2[^\"]*stroke-dasharray: [^\"]*\"|stroke-dasharray[^\"]*stroke: #0072b2",
        svg.read_text(encoding="utf-8"),
    )

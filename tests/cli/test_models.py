import json

from mmgraph.cli import main
from mmgraph.models import MODELS


def test_the_table_has_a_row_for_every_model(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")  # narrower, cells are broken
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert f"{len(MODELS)} models" in text
    assert all(name in text for name in MODELS)
    assert "Kim et al., 2022" in text


def test_json_is_one_object_with_the_same(capsys):
    assert main(["models", "--json"]) == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert set(models) == set(MODELS)
    assert models["mario"]["scorer"] == "pairwise"
    assert models["lattice"]["paper"]["year"] == 2021
    assert models["lattice"]["presets"] == ["paper", "as_released"]

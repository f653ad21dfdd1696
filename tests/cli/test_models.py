import json

from mmgraph.cli import main
from mmgraph.models import MODELS, get_model


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


def test_presets_are_only_those_that_can_be_set(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["models", "--json"]) == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    for name, model in models.items():
        has_key = "preset" in get_model(name).Config.model_fields
        assert bool(model["presets"]) == has_key, name
    assert models["lightgcn"]["presets"] == []
    assert main(["models"]) == 0
    said = capsys.readouterr()
    (row,) = [line for line in said.out.splitlines() if line.split()[:1] == ["lightgcn"]]
    assert row.split()[-1] == "-"
    assert "of a model that lists it" in said.err

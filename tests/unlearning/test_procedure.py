"""From a run to one that knows nothing of what was asked to be forgotten."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from mmgraph.analysis import analyze_preservation
from mmgraph.errors import ConfigError, DataError
from mmgraph.experiment import Observer, evaluate, load_run, train
from mmgraph.graph import build_graph
from mmgraph.run import Run
from mmgraph.unlearning import Unlearning, unlearn
from mmgraph.unlearning import report as report_module

Trained = Callable[..., Run]


def chosen(run: Run) -> dict[str, dict[str, Any]]:
    """Return a request of each kind."""
    data = run.dataset
    pairs = [
        (data.users[part.user[row]], data.items[part.item[row]])
        for part, rows in ((data.train, (0, 25, 90)), (data.valid, (2,)), (data.test, (4,)))
        for row in rows
    ]
    return {
        "users": {"users": [data.users[2], data.users[11]]},
        "items": {"items": [data.items[5], data.items[16]]},
        "interactions": {"interactions": pairs},
        "mixed": {"users": [data.users[2]], "items": [data.items[5]]},
    }


@pytest.fixture(scope="module", params=["users", "items", "interactions", "mixed"])
def case(
    request: pytest.FixtureRequest, trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, dict[str, Any], Unlearning]:
    """Return a run, a request, and what came of it."""
    source = trained()
    asked = chosen(source)[request.param]
    out = tmp_path_factory.mktemp("unlearned") / "new"
    return source, asked, unlearn(source, **asked, gold=True, out=out)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files, of tables also their values as text."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
        if path.suffix == ".parquet":
            found[f"{path.name} as text"] = pl.read_parquet(path).write_csv().encode()
    return found


def secrets(run: Run, asked: dict[str, Any]) -> dict[str, bytes]:
    """Return what must not be found: ids, titles, pairs, trained rows, and hashes over all of it."""
    data, folder = run.dataset, run.folder
    weights = folder.read_tensors("model.safetensors") | folder.read_tensors(
        "embeddings.safetensors"
    )
    found = {}
    for side, known in (("user", data.users), ("item", data.items)):
        for name in asked.get(f"{side}s", []):
            row = known.index(name)
            found[name] = name.encode()
            if side == "item" and data.titles is not None:
                found[f"title of {name}"] = data.titles[row].encode()
            for table, value in weights.items():
                if side in table:
                    found[f"{table} of {name}"] = value[row].numpy().tobytes()
    for user, item in asked.get("interactions", []):
        found[f"{user}, {item}"] = f"{user},{item}".encode()
    facts = folder.facts()
    for key in ("dataset_hash", "split_hash"):
        found[key] = facts[key].encode()
    return found


def test_nothing_of_the_forget_set_is_in_any_file(
    case: tuple[Run, dict[str, Any], Unlearning],
) -> None:
    source, asked, made = case
    searched = secrets(source, asked)
    # The search sees what is there: all of it is in the folder of the original.
    original = b"\0".join(contents(source.path).values())
    assert [name for name, text in searched.items() if text not in original] == []
    assert made.gold is not None
    for run in (made.run, made.gold):
        files = contents(run.path)
        assert {"vocabulary.json", "split/train.csv", "model.safetensors"} <= files.keys()
        leaks = [
            (place, name)
            for place, content in files.items()
            for name, text in searched.items()
            if text in content
        ]
        assert leaks == []


def test_no_number_of_the_forget_set_is_in_any_file(
    case: tuple[Run, dict[str, Any], Unlearning],
) -> None:
    """Vocabularies, tables and the split are those of the retained data; the log has no reversed term."""
    source, asked, made = case
    data = made.run.dataset
    assert len(asked.get("users", [])) == source.dataset.num_users - data.num_users
    weights = made.run.folder.read_tensors("model.safetensors")
    assert weights["user_embedding"].size(0) == data.num_users
    assert weights["item_embedding"].size(0) == data.num_items
    described = json.loads((made.run.path / "split" / "split.json").read_text())
    assert described["rows"]["train"] == len(data.train) == described["counts"]["train_rows"]
    lines = (made.run.path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == made.report["epochs"]
    assert all("forget" not in line and "margin" not in line for line in lines)
    facts = made.run.folder.facts()
    assert set(facts["unlearned"]) == {"run_sha256", "request_sha256", "seed", "settings"}


def test_the_new_run_is_an_ordinary_one(case: tuple[Run, dict[str, Any], Unlearning]) -> None:
    made = case[2]
    run = load_run(made.run.path)
    assert run.folder.is_complete
    assert run.summary["model"] == "lightgcn"
    assert evaluate(run).mean == run.metrics["test"]
    lists = run.recommend(list(run.dataset.users)[:3], k=4)
    assert len(lists) == 12
    assert {entry.item for entry in lists} <= set(run.dataset.items)
    assert set(run.metrics["valid"]) == set(run.metrics["test"])
    analysis = analyze_preservation([run])
    assert analysis["modalities"]["text"]["all"]["items"] == run.dataset.num_items


def test_graphs_are_those_of_a_retrained_model_bit_for_bit(
    case: tuple[Run, dict[str, Any], Unlearning],
) -> None:
    made = case[2]
    assert made.gold is not None
    runs = (load_run(made.run.path), load_run(made.gold.path))
    first, second = (build_graph(run.dataset, run.recipe.graph) for run in runs)
    assert first.edge_types == second.edge_types
    for edge_type in first.edge_types:
        for key in ("edge_index", "edge_weight"):
            assert torch.equal(first[edge_type][key], second[edge_type][key])
    assert runs[0].dataset.content_hash == runs[1].dataset.content_hash
    expected, found = (run.model.state_dict() for run in runs)
    assert {k: v.shape for k, v in expected.items()} == {k: v.shape for k, v in found.items()}


def test_the_report_compares_three_models(case: tuple[Run, dict[str, Any], Unlearning]) -> None:
    source, asked, made = case
    report, gold = made.report, made.gold
    assert gold is not None
    json.dumps(report, allow_nan=False)
    assert list(report["figures"]) == ["original", "unlearned", "gold"]
    for name, run in (("unlearned", made.run), ("gold", gold)):
        figures = report["figures"][name]
        for part in ("valid", "test"):
            assert figures[f"{part} recall@20"] == pytest.approx(run.metrics[part]["recall@20"])
    assert report["figures"]["gold"]["overlap@20 with gold"] == 1
    assert report["figures"]["gold"]["divergence from gold"] == 0
    assert set(report["distance"]) == set(report["figures"]["gold"])
    assert (
        report["seconds"]["speedup"] == report["seconds"]["gold"] / report["seconds"]["unlearned"]
    )
    assert ("exposure@20" in report["distance"]) == bool(asked.get("items"))
    assert ("test recall@20 of forgotten users" in report["distance"]) == bool(asked.get("users"))
    assert report["forgotten_interactions"] + report["retained_interactions"] == len(
        source.dataset.train
    )


def test_what_was_reported_before_retraining_is_not_measured_again(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = trained()
    measured: list[Any] = []
    told: list[dict[str, Any]] = []
    figures = report_module._figures

    def counted(compared: Any, model: Any) -> Any:
        measured.append(model)
        return figures(compared, model)

    monkeypatch.setattr(report_module, "_figures", counted)
    made = unlearn(
        source,
        **chosen(source)["users"],
        gold=True,
        out=tmp_path / "new",
        on_unlearned=lambda report: told.append({**report["figures"]}),
    )
    assert len(measured) == 3  # the original, the unlearned and the retrained one
    (first,) = told
    final = made.report["figures"]
    assert set(first) == {"original", "unlearned"}
    for name, found in first.items():
        assert found.items() < final[name].items()  # what is told next to gold came later


def test_the_same_seed_makes_the_same_run(trained: Trained, tmp_path: Path) -> None:
    source = trained()
    asked = {**chosen(source)["interactions"], "overrides": ["max_epochs=3", "target=unobserved"]}
    made = [
        unlearn(source, **asked, seed=seed, out=tmp_path / str(n))
        for n, seed in enumerate((5, 5, 6))
    ]
    assert [new.report["best_epoch"] for new in made] == [3, 3, 3]
    runs = [new.run for new in made]
    weights = [(run.path / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize("kind", ["users", "items", "interactions"])
def test_planted_test_rows_cannot_be_seen(trained: Trained, tmp_path: Path, kind: str) -> None:
    """Other test rows, same training and validation rows: every byte that unlearning decides stays the same."""
    source, planted = trained(), trained()
    data = source.dataset
    rolled = replace(data.test, item=(data.test.item + 1) % data.num_items)
    planted.__dict__["dataset"] = type(data)(**{**vars(data), "test": rolled})
    asked = {key: pairs[:3] for key, pairs in chosen(source)[kind].items()}
    more = ["target=unobserved", "learning_rate=0.01"]
    made = [
        unlearn(run, **asked, overrides=more, out=tmp_path / name).run
        for name, run in (("plain", source), ("planted", planted))
    ]
    assert made[0].metrics["epochs"] > 1
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (made[0].path / name).read_bytes() == (made[1].path / name).read_bytes()
    assert made[0].metrics["test"] != made[1].metrics["test"]


def test_a_folder_that_is_taken_while_it_unlearns_is_left_alone(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = load_run(shutil.copytree(trained().path, tmp_path / "mine"))
    asked = {**chosen(source)["users"], "overrides": ["max_epochs=1"]}

    class Takes(Observer):
        def phase(self, text: str) -> None:
            if text == "ranking the test part":
                (tmp_path / "mine-unlearned").mkdir(exist_ok=True)
                (tmp_path / "mine-unlearned" / "theirs").touch()

    made = unlearn(source, **asked, gold=True, observer=Takes())
    assert made.run.path == tmp_path / "mine-unlearned-2"
    assert made.gold is not None
    assert made.gold.path == tmp_path / "mine-unlearned-2-gold"
    assert [p.name for p in (tmp_path / "mine-unlearned").iterdir()] == ["theirs"]


def test_rows_that_were_never_learned_leave_the_weights_as_they_are(
    trained: Trained, tmp_path: Path
) -> None:
    source = trained()
    data = source.dataset
    pair = (data.users[data.test.user[0]], data.items[data.test.item[0]])
    made = unlearn(source, interactions=[pair], out=tmp_path / "new")
    assert made.report["epochs"] == 0
    assert "membership_auc" not in made.report["figures"]["original"]
    first, second = (run.folder.read_tensors("model.safetensors") for run in (source, made.run))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert len(made.run.dataset.test) == len(data.test) - 1


@pytest.mark.parametrize("model", ["mm_gef", "mario", "margo"])
@pytest.mark.parametrize("graph", ["retain", "full"])
def test_models_with_features_and_stages_unlearn(
    trained: Trained, tmp_path: Path, model: str, graph: str
) -> None:
    source = trained(model)
    asked = chosen(source)["mixed"]
    made = unlearn(
        source, **asked, out=tmp_path / "new", overrides=["max_epochs=2", f"graph={graph}"]
    )
    assert evaluate(load_run(made.run.path)).mean == made.run.metrics["test"]
    assert made.run.folder.facts()["unlearned"]["settings"]["graph"] == graph


def test_an_unlearned_run_can_forget_more(trained: Trained, tmp_path: Path) -> None:
    source = trained()
    first = unlearn(source, **chosen(source)["users"], out=tmp_path / "first").run
    user = load_run(first.path).dataset.users[0]
    second = unlearn(first.path, users=[user], out=tmp_path / "second").run
    assert user.encode() not in b"".join(contents(second.path).values())
    assert evaluate(load_run(second.path)).mean == second.metrics["test"]


def test_folders_are_numbered_and_never_written_over(trained: Trained, tmp_path: Path) -> None:
    source = load_run(shutil.copytree(trained().path, tmp_path / "mine"))
    asked = {**chosen(source)["users"], "overrides": ["max_epochs=1"]}
    assert unlearn(source, **asked).run.path == tmp_path / "mine-unlearned"
    assert unlearn(source, **asked).run.path == tmp_path / "mine-unlearned-2"
    before = contents(tmp_path)
    for taken, options in (("mine", {}), ("other", {"gold": True})):
        (tmp_path / "other-gold").mkdir(exist_ok=True)
        (tmp_path / "other-gold" / "x").write_text("")
        with pytest.raises(ConfigError, match="new or empty folder"):
            unlearn(source, **asked, **options, out=tmp_path / taken)
    shutil.rmtree(tmp_path / "other-gold")
    assert contents(tmp_path) == before


def test_what_cannot_be_unlearned_is_refused(
    trained: Trained, marked: Path, tmp_path: Path
) -> None:
    source = trained()
    users = [source.dataset.users[0]]
    untrained = train("cb", marked, overrides=["graph.k=3"], out=tmp_path / "cb")
    with pytest.raises(ConfigError, match=r"needs a model that is trained \(got cb"):
        unlearn(untrained, users=users, out=tmp_path / "new")
    broken = Path(shutil.copytree(source.path, tmp_path / "broken"))
    facts = json.loads((broken / "run.json").read_text())
    (broken / "run.json").write_text(json.dumps({**facts, "complete": False}))
    with pytest.raises(ConfigError, match="unlearning needs a complete run"):
        unlearn(broken, users=users, out=tmp_path / "new")
    with pytest.raises(ConfigError, match="unknown key 'mixx'; did you mean 'mix'"):
        unlearn(source, users=users, out=tmp_path / "new", overrides=["mixx=1"])
    with pytest.raises(DataError, match="did you mean"):
        unlearn(source, users=[f"{users[0]}x"], out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_too_few_items_for_the_graph_of_the_run_is_the_fault_of_the_request(
    trained: Trained, tmp_path: Path
) -> None:
    source = trained("mm_gef")
    with pytest.raises(DataError, match=r"forgetting items: k must be .*; name fewer$"):
        unlearn(source, items=source.dataset.items.ids[:-3], out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_without_a_name_has_one_beside_it(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = load_run(trained().path.resolve())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    asked = {**chosen(source)["users"], "overrides": ["max_epochs=1"]}
    (tmp_path / "here-gold").write_text("")
    with pytest.raises(ConfigError, match="here-gold: a run needs a new or empty folder"):
        unlearn(source, **asked, gold=True, out=".")


@pytest.mark.cuda
def test_on_a_device(trained: Trained, tmp_path: Path) -> None:
    source = load_run(trained().path, device="cuda")
    made = unlearn(source, **chosen(source)["mixed"], gold=True, out=tmp_path / "new")
    assert 0 <= made.report["figures"]["unlearned"]["membership_auc"] <= 1
    assert made.run.model.user_embedding.device.type == "cuda"

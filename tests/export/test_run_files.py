import json

import polars as pl
import pytest
import torch

from mmgraph.evaluation import EvaluationConfig, Evaluator
from mmgraph.export import RunFolder, write_inputs, write_outputs
from mmgraph.models.bpr_mf import BPRMF, BPRMFConfig
from mmgraph.testing import checkerboard_dataset, checkerboard_graph


@pytest.fixture
def run(tmp_path):
    data, model = checkerboard_dataset(), BPRMF(checkerboard_graph(), BPRMFConfig(embedding_dim=2))
    inputs = {"recipe": "seed = 3", "model_name": "bpr_mf", "seed": 3, "device": "cpu"}
    inputs["memory"] = {"parameters": 192, "total": 1000}
    folder = RunFolder.create(
        tmp_path / "run", lambda new: write_inputs(new, data, model, **inputs)
    )
    return folder, data, model


def test_inputs_name_everything_a_result_depends_on(run):
    folder, data, _ = run
    facts = folder.facts()
    assert (facts["complete"], facts["num_parameters"]) == (False, 48)
    assert facts["memory"] == {"parameters": 192, "total": 1000}
    assert (facts["dataset_hash"], facts["split_hash"]) == (data.content_hash, data.split_hash)
    assert folder.read_json("vocabulary.json")["items"] == [str(i) for i in range(12)]
    assert len(pl.read_csv(folder / "split" / "train.csv")) == len(data.train)


def test_outputs_hold_the_vectors_of_the_model_and_seal_the_run(run):
    folder, data, model = run
    config = EvaluationConfig(ks=(1,), metrics=("recall",), select_by="recall@1")
    sizes = {"num_users": 12, "num_items": 12, "config": config}
    pairs = (data.test.user, data.test.item)
    test = Evaluator(pairs, None, **sizes).evaluate(lambda users: torch.eye(12)[users])
    metrics = {"test": test.mean}
    write_outputs(folder, data, model, metrics=metrics, test=test, timings={"total_s": 1.0})
    vectors = folder.read_tensors("embeddings.safetensors")
    assert torch.equal(vectors["item"], model.item_embedding)
    assert json.loads((folder / "metrics.json").read_text()) == {"test": {"recall@1": 1.0}}
    facts = folder.facts()
    assert facts["complete"]
    assert {"split/test.csv", "per_user.parquet", "model.safetensors"} <= set(facts["files"])

"""mmgraph doctor."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

Ask = Callable[..., Any]


def test_the_report_is_complete(ask: Ask) -> None:
    said = ask("doctor", "--json").json
    assert said["packages"]["torch"] == torch.__version__
    assert said["threads"] == torch.get_num_threads()
    assert said["sparse_backends"]["cpu"]["gather"] is None
    assert said["faiss"]["compile_options"]
    assert said["self_test"]["ok"] is True
    assert {"csr", "gather"} <= set(said["self_test"]["errors"])


def test_people_see_the_same(ask: Ask) -> None:
    answer = ask("doctor")
    assert answer.code == 0
    assert torch.__version__ in answer.out
    assert "Self-test passed" in answer.out


def test_a_backend_that_computes_something_wrong_is_found(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mmgraph.sparse.backends.gather.matmul",
        lambda adj, x, value: torch.zeros(adj.size[0], x.size(1)),
    )
    answer = ask("doctor", "--json")
    assert answer.code == 1
    assert answer.json["self_test"]["ok"] is False
    assert answer.json["self_test"]["errors"]["csr"] < 1e-6
    assert "self-test failed" in answer.err

"""mmgraph doctor."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mmgraph.sparse import calibration, choice, choose_backend
from mmgraph.sparse.calibration import Timing

Ask = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(choice.BACKEND_VARIABLE, raising=False)
    choice.forget()
    yield
    choice.forget()


def test_the_report_is_complete(ask: Ask) -> None:
    said = ask("doctor", "--json").json
    assert said["packages"]["torch"] == torch.__version__
    assert said["threads"] == torch.get_num_threads()
    assert said["devices"]["cpu"][0]
    assert said["faiss"]["compile_options"]
    assert said["self_test"]["ok"] is True
    assert {"csr", "gather"} <= set(said["self_test"]["errors"])


def test_every_backend_is_timed_and_one_is_chosen(ask: Ask) -> None:
    cases = ask("doctor", "--json").json["sparse_backends"]["cpu"]
    assert [*cases] == [
        "float32 sum",
        "float32 sum, learned weights",
        "bfloat16 sum",
        "float64 sum",
        "float32 max",
    ]
    for backends in cases.values():
        assert [*backends] == [*choice.BACKENDS]
        assert sum(said["chosen"] for said in backends.values()) == 1
        for said in backends.values():
            times = (said["forward_ms"], said["backward_ms"])
            assert all(ms > 0 for ms in times) if said["usable"] else times == (None, None)
            assert said["usable"] or not said["chosen"]
            assert said["reason"]
    (chosen,) = (name for name, said in cases["float32 sum"].items() if said["chosen"])
    assert chosen == choose_backend("cpu")
    assert cases["float32 max"]["embedding_bag"]["reason"] == "it takes no maxima"


def test_times_are_measured_anew_when_asked_for(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(1, 99))

    def measure(backends, case):
        number = next(seconds)
        return {name: Timing(number, number) for name in backends}

    monkeypatch.setattr(calibration, "measure", measure)

    def shown(*options: str) -> float:
        said = ask("doctor", "--json", *options).json["sparse_backends"]["cpu"]
        return said["float32 sum"]["csr"]["forward_ms"]

    fresh = shown("--calibrate")
    assert shown() == fresh
    assert shown("--calibrate") > fresh


def test_people_see_the_same(ask: Ask) -> None:
    answer = ask("doctor")
    assert answer.code == 0
    assert torch.__version__ in answer.out
    assert "Sparse backends on cpu, in order of preference" in answer.out
    assert "bfloat16 sum" in answer.out
    assert "Self-test passed" in answer.out


def test_a_named_backend_is_shown_as_such(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.BACKEND_VARIABLE, "embedding_bag")
    cases = ask("doctor", "--json").json["sparse_backends"]["cpu"]
    assert cases["float64 sum"]["embedding_bag"]["reason"] == "named by the user"
    assert not any(said["chosen"] for said in cases["float32 max"].values())


def test_a_backend_that_computes_something_wrong_is_found(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mmgraph.sparse.backends.gather.multiply",
        lambda rowptr, col, value, x, num_rows: torch.zeros(num_rows, x.size(1)),
    )
    answer = ask("doctor", "--json")
    assert answer.code == 1
    assert answer.json["self_test"]["ok"] is False
    assert answer.json["self_test"]["errors"]["csr"] < 1e-6
    assert "self-test failed" in answer.err

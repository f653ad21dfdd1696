import json

import pytest
import torch
from safetensors import SafetensorError

from mmgraph.errors import DataError
from mmgraph.training import CheckpointStore
from mmgraph.training.checkpoint import pack_optimizer, unpack_optimizer


def test_only_the_newest_whole_checkpoint_stays(tmp_path):
    store = CheckpointStore(tmp_path / "c")
    for step in (1, 2, 30):
        store.save(step, {"x": torch.full((2,), float(step))}, {"step": step})
    assert [p.name for p in (tmp_path / "c").iterdir()] == ["00000030"]
    latest = store.latest()
    assert latest.state == {"step": 30}
    assert latest.tensors["x"].tolist() == [30.0, 30.0]


def test_a_half_written_checkpoint_is_not_seen(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(1, {"x": torch.zeros(1)}, {"step": 1})
    half = tmp_path / ".partial.00000002"
    half.mkdir()
    (half / "tensors.safetensors").write_bytes(b"half")
    assert store.latest().state == {"step": 1}
    store.save(2, {"x": torch.ones(1)}, {"step": 2})
    assert store.latest().state == {"step": 2}


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_named(tmp_path, name):
    store = CheckpointStore(tmp_path)
    store.save(1, {"x": torch.zeros(9)}, {"step": 1})
    path = tmp_path / "00000001" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"00000001.*must be readable.*delete it"):
        store.latest()


def test_groups_share_one_file(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(1, {"model/a.b": torch.ones(1), "best/a.b": torch.zeros(1)}, {})
    assert store.latest().group("model").keys() == {"a.b"}
    assert store.latest().group("best")["a.b"].item() == 0


def test_an_optimiser_goes_on_as_if_never_stopped(tmp_path):
    def steps(parameter, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            parameter.pow(3).sum().backward()
            optimizer.step()

    straight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    whole = torch.optim.Adam([straight], lr=0.1, fused=True)
    steps(straight, whole, 5)

    broken = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    first = torch.optim.Adam([broken], lr=0.1, fused=True)
    steps(broken, first, 2)
    tensors, plain = pack_optimizer(first)
    plain = json.loads(json.dumps(plain))
    second = torch.optim.Adam([broken], lr=0.1, fused=True)
    unpack_optimizer(second, tensors, plain)
    steps(broken, second, 3)
    assert torch.equal(straight, broken)


def test_a_disk_that_is_full_is_an_error_of_the_system_and_keeps_the_old_one(tmp_path, monkeypatch):
    def full(tensors, path):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    store = CheckpointStore(tmp_path)
    store.save(1, {"x": torch.zeros(1)}, {"step": 1})
    monkeypatch.setattr("mmgraph.training.checkpoint.save_file", full)
    with pytest.raises(OSError, match=r"00000002.*cannot be written.*No space left"):
        store.save(2, {"x": torch.ones(1)}, {"step": 2})
    assert store.latest().state == {"step": 1}

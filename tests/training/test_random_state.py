import pytest
import torch

from mmgraph.training.random_state import own_random, random_states, set_random_states

CPU = torch.device("cpu")


def test_numbers_of_a_seed_are_torchs_and_nobody_notices():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(9)
    before = torch.get_rng_state()
    with own_random(CPU, seed=5):
        assert torch.equal(torch.rand(3), expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_the_numbers_go_on():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with own_random(CPU):
        assert torch.equal(torch.rand(3), expected)
    assert torch.equal(torch.rand(3), expected)


def test_states_are_given_back_when_the_block_fails():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="broken"), own_random(CPU, seed=1):
        raise RuntimeError("broken")
    assert torch.equal(torch.get_rng_state(), before)


def test_states_are_kept_and_taken_up_again():
    states = random_states(CPU)
    assert set(states) == {"torch"}
    first = torch.rand(3)
    set_random_states(states, CPU)
    assert torch.equal(torch.rand(3), first)


def test_the_state_of_the_device_is_kept_too(monkeypatch):
    kept, taken = torch.arange(3, dtype=torch.uint8), []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: kept)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *args: taken.append(args))
    gpu = torch.device("cuda", 1)
    states = random_states(gpu)
    assert torch.equal(states["cuda"], kept)
    set_random_states(states, gpu)
    assert taken == [(states["cuda"], gpu)]
    # A checkpoint from before it was kept: the device goes on from its own.
    set_random_states({"torch": states["torch"]}, gpu)
    assert len(taken) == 1


@pytest.mark.cuda
def test_a_gpu_is_seeded_and_gets_its_state_back():
    gpu = torch.device("cuda")
    torch.manual_seed(5)
    expected = torch.rand(3, device=gpu)
    before = random_states(gpu)
    with own_random(gpu, seed=5):
        assert torch.equal(torch.rand(3, device=gpu), expected)
    after = random_states(gpu)
    assert all(torch.equal(after[name], state) for name, state in before.items())
    with own_random(CPU, seed=7):  # what is drawn on the CPU alone does not touch it
        torch.rand(3)
    assert torch.equal(random_states(gpu)["cuda"], before["cuda"])
    first = torch.rand(3, device=gpu)
    set_random_states(before, gpu)
    assert torch.equal(torch.rand(3, device=gpu), first)

import json
import math

import pytest
import torch

from mmgraph.errors import FitError
from mmgraph.models import MODELS, get_model
from mmgraph.models.base import EmbeddingConfig, ModelConfig, Recommender, Stage
from mmgraph.models.batch import Embeddings
from mmgraph.testing import checkerboard_graph
from mmgraph.training import CheckpointStore, PairwiseSampler, TrainingConfig, fit
from mmgraph.training.loop import choose_learning, compute_losses


class Toy(Recommender):
    """Two tables, two terms, optionally two stages; counts what it is told."""

    def __init__(self, stages=None, scale=1.0):
        super().__init__(checkerboard_graph(), EmbeddingConfig(name="toy", embedding_dim=2))
        generator = torch.Generator().manual_seed(5)
        self.user = torch.nn.Parameter(torch.randn(12, 2, generator=generator))
        self.item = torch.nn.Parameter(torch.randn(12, 2, generator=generator))
        self.dropout = torch.nn.Dropout(0.3)
        self._stages, self.scale, self.told = tuple(stages or [Stage()]), scale, []

    @property
    def stages(self):
        return self._stages

    def encode(self):
        return Embeddings(self.user, self.item)

    def losses(self, batch):
        user = self.dropout(self.user)[batch.user]
        difference = (user * (self.item[batch.positive] - self.item[batch.negative])).sum(dim=1)
        return {
            "bpr": torch.nn.functional.softplus(-difference).mean() * self.scale,
            "size": self.item.square().mean(),
        }

    def on_stage(self, stage):
        self.told.append(stage.name)

    def on_epoch(self, epoch):
        self.told.append(epoch)


def sampler():
    user = torch.arange(12).repeat_interleave(3)
    return PairwiseSampler(user, (user + torch.tensor([2, 4, 6]).repeat(12)) % 12, num_items=12)


def run(model, validate=None, on_epoch=None, checkpoints=None, **config):
    config = TrainingConfig(**{"max_epochs": 4, "batch_size": 7, "learning_rate": 0.05, **config})
    torch.manual_seed(11)
    return fit(
        model,
        sampler(),
        config=config,
        seed=3,
        validate=validate,
        select_by="recall@20",
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )


def scripted(values):
    """A validation that returns the values one after the other."""
    rest = iter(values)
    return lambda model: {"recall@20": next(rest)}


def test_the_model_ends_at_its_best_epoch():
    states = []
    model = Toy()
    result = run(
        model,
        scripted([0.1, 0.5, 0.3, 0.2]),
        lambda report: states.append({k: v.clone() for k, v in model.state_dict().items()}),
    )
    assert (result.epochs, result.best_epoch, result.valid) == (4, 2, {"recall@20": 0.5})
    assert all(torch.equal(v, states[1][k]) for k, v in model.state_dict().items())


def test_patience_ends_a_stage():
    result = run(Toy(), scripted([0.3, 0.2, 0.2, 0.9]), patience=2, max_epochs=50)
    assert (result.epochs, result.best_epoch) == (3, 1)


def test_validation_is_due_every_so_often_and_at_the_end():
    reports = []
    run(Toy(), scripted([0.1] * 9), reports.append, eval_every=3, max_epochs=5, patience=9)
    assert [r.epoch for r in reports if r.valid] == [3, 5]


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_an_epoch_equals_adam_written_out(weight_decay):
    """Fresh gradients each step, weighted terms, decay, bias correction: against autograd and plain arithmetic."""
    model = Toy([Stage(loss_weights={"size": 0.5})])
    run(model, max_epochs=1, weight_decay=weight_decay)
    other = Toy()
    rows = [other.user, other.item]
    first, second = ([torch.zeros_like(p) for p in rows] for _ in range(2))
    torch.manual_seed(11)
    batches = sampler().epoch(7, torch.Generator().manual_seed(3))
    for step, batch in enumerate(batches, start=1):
        terms = other.losses(batch)
        gradients = torch.autograd.grad(terms["bpr"] + 0.5 * terms["size"], rows)
        for p, gradient, m, v in zip(rows, gradients, first, second, strict=True):
            g = gradient + weight_decay * p.data
            m.mul_(0.9).add_(0.1 * g)
            v.mul_(0.999).add_(0.001 * g**2)
            root = (v / (1 - 0.999**step)).sqrt() + 1e-8
            p.data -= 0.05 * m / (1 - 0.9**step) / root
    torch.testing.assert_close(model.user, other.user, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.item, other.item, rtol=1e-4, atol=1e-5)


def test_stages_train_what_they_name_with_their_weights_and_epochs():
    stages = [
        Stage("first", parameters=("user",), limits=(2,)),
        Stage("second", parameters=("item",), loss_weights={"bpr": 0.0}, limits=(3,)),
    ]
    model, before, after = Toy(stages), Toy().state_dict(), []
    run(
        model,
        scripted([0.1, 0.2, 0.3, 0.4, 0.5]),
        lambda r: after.append(model.item.detach().clone()),
    )
    assert model.told == ["first", 1, 2, "second", 3, 4, 5]
    assert torch.equal(after[1], before["item"])
    assert not torch.equal(after[2], before["item"])


def test_each_stage_starts_from_the_best_of_the_one_before():
    kept = []
    model = Toy([Stage("a", limits=(3,)), Stage("b", limits=(1,))])
    model.on_stage = lambda stage: kept.append(model.user.detach().clone())
    trail = []
    run(model, scripted([0.2, 0.9, 0.1, 0.0]), lambda r: trail.append(model.user.detach().clone()))
    assert torch.equal(kept[1], trail[1])


def test_the_last_epoch_there_can_be_does_without_those_that_earlier_stages_did_not_use():
    model, told = Toy([Stage("a", limits=(5,)), Stage("b", limits=(2,))]), []
    values = scripted([0.9, 0.1, 0.2, 0.3])
    run(model, values, lambda r: told.append((r.epoch, r.limit)), patience=1)
    assert told == [(1, 7), (2, 7), (3, 4), (4, 4)]


def rates_of(model, **config):
    """Train; return the learning rate of every step."""
    rates = []
    original = torch.optim.Adam.step

    def spy(self, *args):
        rates.append(self.param_groups[0]["lr"])
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", spy)
        run(model, batch_size=64, **config)
    return rates


def test_exponential_schedule_decays_smoothly():
    rates = rates_of(Toy(), schedule="exponential", decay_rate=0.5, decay_every=2, max_epochs=3)
    assert rates == pytest.approx([0.05, 0.05 * math.sqrt(0.5), 0.025])


def test_a_stage_has_its_share_of_the_learning_rate():
    stages = [Stage("first", limits=(1,)), Stage("second", limits=(2,), rate=0.1)]
    assert rates_of(Toy(stages)) == pytest.approx([0.05, 0.005, 0.005])


def test_a_loss_that_is_not_finite_names_term_and_epoch():
    with pytest.raises(FitError, match=r"term 'bpr' is nan in epoch 1"):
        run(Toy(scale=float("nan")))


class Killed(Exception):
    pass


EACH = {"checkpoint_seconds": 0}


@pytest.mark.parametrize("die_after", [1, 2, 3, 5])
def test_going_on_from_a_checkpoint_ends_with_the_same_bits(tmp_path, die_after):
    """Weights, history and best epoch of an interrupted run equal those of an uninterrupted one."""
    values = {1: 0.1, 2: 0.4, 3: 0.2, 4: 0.6, 5: 0.3, 6: 0.5}
    stages = [Stage("a", limits=(4,)), Stage("b", limits=(2,))]

    def go(model, store=None, die=None):
        epoch = [
            len(store.latest().state["progress"]["history"]) if store and store.latest() else 0
        ]

        def validate(_):
            epoch[0] += 1
            return {"recall@20": values[epoch[0]]}

        def on_epoch(report):
            if report.epoch == die:
                raise Killed

        return run(model, validate, on_epoch, store, checkpoint_seconds=0, patience=9)

    straight, broken = Toy(stages), Toy(stages)
    expected = go(straight)
    store = CheckpointStore(tmp_path / "checkpoints")
    with pytest.raises(Killed):
        go(broken, store, die_after)
    again = Toy(stages)
    result = go(again, store)
    assert result == expected
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in straight.state_dict().items())


def test_the_best_epoch_is_that_of_the_last_stage_also_where_an_earlier_one_was_better():
    states = []
    model = Toy([Stage("a", limits=(2,)), Stage("b", limits=(3,))])
    result = run(
        model,
        scripted([0.9, 0.8, 0.1, 0.3, 0.2]),
        lambda report: states.append({k: v.clone() for k, v in model.state_dict().items()}),
    )
    assert (result.best_epoch, result.valid) == (4, {"recall@20": 0.3})
    assert all(torch.equal(v, states[3][k]) for k, v in model.state_dict().items())


def test_each_stage_has_an_optimiser_of_its_own():
    """Two stages of an epoch are two trainings of an epoch, the second from where the first ended."""
    stages = [Stage("a", parameters=("user",), limits=(1,)), Stage("b", limits=(1,))]
    seen = []
    original = torch.optim.Adam.step

    def spy(self, *args):
        seen.append((id(self), sum(p.numel() for p in self.param_groups[0]["params"])))
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", spy)
        run(Toy(stages), batch_size=64)
    assert [size for _, size in seen] == [24, 48]
    assert len(set(seen)) == 2


@pytest.mark.parametrize("known", [True, False])
def test_seconds_of_an_interrupted_process_are_kept(tmp_path, known):
    """A checkpoint from before they were kept counts as none."""

    def die(report):
        raise Killed

    store = CheckpointStore(tmp_path / "checkpoints")
    for _ in range(2):
        with pytest.raises(Killed):
            run(Toy(), None, lambda report: report.epoch == 2 and die(report), store, **EACH)
    path = next((tmp_path / "checkpoints").iterdir()) / "state.json"
    state = json.loads(path.read_text())
    assert state["progress"]["seconds"] > 0
    del state["progress"]["seconds"]
    if known:
        state["progress"]["seconds"] = 1000.0
    path.write_text(json.dumps(state))
    with pytest.raises(Killed):
        run(Toy(), None, lambda report: report.epoch == 3 and die(report), store, **EACH)
    assert run(Toy(), checkpoints=store, **EACH).epochs == 4
    seconds = store.latest().state["progress"]["seconds"]
    assert (seconds > 1000) is known


@pytest.mark.parametrize(("precision", "low"), [("float32", False), ("bfloat16", True)])
def test_only_the_losses_are_computed_in_low_precision(precision, low):
    seen = {}

    class Watched(Toy):
        def losses(self, batch):
            seen["losses"] = torch.is_autocast_enabled("cpu")
            product = self.user[batch.user] @ self.item.T
            seen["product"] = product.dtype
            return {"low": product.square().mean(), "size": self.item.square().mean()}

        def on_epoch(self, epoch):
            seen["on_epoch"] = torch.is_autocast_enabled("cpu")

        def after_step(self):
            seen["after_step"] = torch.is_autocast_enabled("cpu")
            seen["gradients"] = {p.grad.dtype for p in (self.user, self.item)}

    def validate(model):
        seen["validate"] = torch.is_autocast_enabled("cpu")
        return {"recall@20": 0.5}

    run(Watched(), validate, precision=precision, max_epochs=1)
    assert seen == {
        "losses": low,
        "product": torch.bfloat16 if low else torch.float32,
        "on_epoch": False,
        "after_step": False,
        "gradients": {torch.float32},
        "validate": False,
    }


def test_terms_in_low_precision_are_summed_in_float32():
    """256 + 1 is 256 in bfloat16."""

    class Low(Toy):
        def losses(self, batch):
            big = self.user.sum().to(torch.bfloat16) * 0 + 256
            return {"big": big, "small": big / 256}

    terms, loss = compute_losses(
        Low(), Stage(), next(sampler().epoch(4, torch.Generator())), precision="bfloat16"
    )
    assert {term.dtype for term in terms.values()} == {torch.float32}
    assert loss.item() == 257


def test_the_weights_of_a_stage_and_float64_reach_the_loss():
    batch = next(sampler().epoch(4, torch.Generator()))
    stage = Stage(loss_weights={"size": 0.25})
    terms, loss = compute_losses(Toy().double().eval(), stage, batch, precision="float32")
    assert loss.dtype == torch.float64
    torch.testing.assert_close(loss, terms["bpr"] + 0.25 * terms["size"])


def test_what_learns_is_named_by_prefix():
    model = Toy()
    assert choose_learning(model, Stage(parameters=("it",))) == [model.item]
    assert (model.user.requires_grad, model.item.requires_grad) == (False, True)
    assert len(choose_learning(model, Stage())) == 2


def test_old_gradients_are_gone_before_the_next_forward_pass():
    """They would add to the peak of the forward pass."""
    left = []

    class Watched(Toy):
        def losses(self, batch):
            left.append(self.user.grad)
            return super().losses(batch)

    run(Watched(), max_epochs=1)
    assert len(left) > 1
    assert set(left) == {None}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_that_is_trained_is_so_in_low_precision_too(name):
    model_class = get_model(name)
    means = []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        model = model_class(checkerboard_graph(), model_class.Config())
        history = run(model, precision=precision, max_epochs=2).history
        assert len(history) == 2 * len(model.stages)
        # Of the first epoch: what rounding does to training grows from step to step.
        means.append(history[0]["losses"] if model.stages else {})
    full, low = means
    assert low == pytest.approx(full, rel=0.05)


class Untrained(Recommender):
    """Has nothing to learn."""

    stages = ()

    def __init__(self):
        super().__init__(checkerboard_graph(), ModelConfig(name="untrained"))

    def encode(self):
        return Embeddings(torch.ones(12, 1), torch.ones(12, 1))


def test_a_model_without_stages_is_validated_once_as_it_is(tmp_path):
    seen = []

    def validate(model):
        seen.append((model.training, torch.is_grad_enabled()))
        return {"recall@20": 0.25}

    store = CheckpointStore(tmp_path / "checkpoints")
    result = run(Untrained(), validate, seen.append, store, checkpoint_seconds=0)
    assert (result.epochs, result.best_epoch, result.history) == (0, 0, [])
    assert result.valid == {"recall@20": 0.25}
    assert seen == [(False, False)]
    assert store.latest() is None


def test_a_model_without_stages_needs_no_validation():
    assert run(Untrained()).valid == {}

import gc
import weakref
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.data import HeteroData

from mmgraph.errors import ConfigError
from mmgraph.models import MODELS, get_model
from mmgraph.models.base import EmbeddingConfig, Recommender, Stage
from mmgraph.models.batch import Embeddings
from mmgraph.testing import checkerboard_dataset, checkerboard_graph
from mmgraph.training import (
    MemoryReport,
    PairwiseSampler,
    TrainingConfig,
    build_within,
    measure_memory,
)
from mmgraph.training.memory import LiveBytes, resident_bytes, size_of

ROWS, DIM = 1000, 8
CPU = torch.device("cpu")
TABLE = ROWS * DIM * 4
SCALARS = 200  # bytes of the terms, their sum and their gradients


def nodes(count):
    graph = HeteroData()
    graph["user"].num_nodes = graph["item"].num_nodes = count
    return graph


class Counted(Recommender):
    """Two tables, one a stage: a step keeps one exponential of the table and makes one gradient."""

    def __init__(self, stages=None, rows=ROWS):
        super().__init__(nodes(rows), EmbeddingConfig(name="counted", embedding_dim=DIM))
        self.user, self.item = (nn.Parameter(torch.randn(rows, DIM)) for _ in range(2))
        self.norm = nn.BatchNorm1d(DIM, affine=False)
        self.register_buffer("features", torch.zeros(rows, 5), persistent=False)
        self._stages, self.told = tuple(stages or [Stage()]), []

    @property
    def stages(self):
        return self._stages

    def encode(self):
        return Embeddings(self.user, self.item)

    def losses(self, batch):
        self.norm(self.item.detach()[:2])
        return {"user": self.user.exp().sum(), "item": self.item.sum()}

    def on_stage(self, stage):
        self.told.append(stage.name)

    def on_epoch(self, epoch):
        self.told.append(epoch)
        self.epoch_graph = torch.zeros(3)

    def after_step(self):
        self.told.append("step")


def board_sampler():
    data = checkerboard_dataset()
    user, item = torch.from_numpy(data.train.user), torch.from_numpy(data.train.item)
    return PairwiseSampler(user, item, num_items=12)


def measure(model, **options):
    config = options.pop("config", TrainingConfig(batch_size=16))
    report = measure_memory(model, board_sampler(), config=config, **options)
    return replace(report, process=0)


def test_lightgcn_counted_by_hand():
    """24 rows of 4 numbers; a joint matrix of 24 rows with both directions of 60 edges, stored once."""
    model = get_model("lightgcn")
    report = measure(model(checkerboard_graph(), model.Config(embedding_dim=4, num_layers=2)))
    table = 24 * 4 * 4
    assert (report.parameters, report.gradients, report.best_weights) == (table, table, table)
    assert (
        report.optimizer == 2 * table + 2 * 4
    )  # two means of each number, a step count of each table
    assert 25 * 4 + 120 * (4 + 4) <= report.buffers <= 2 * (25 * 4 + 120 * (4 + 4 + 4))
    # Sampler: pairs as keys, users and items, then places, users, positives and negatives of an epoch.
    assert report.sampler >= 60 * 8 * (3 + 4)
    # Two layers and their sum, and in the backward pass the gradients of these.
    assert 3 * table <= report.activations <= 10 * table


def test_activations_and_gradients_counted_by_hand():
    report = measure(Counted())
    assert report.gradients == 2 * TABLE
    assert TABLE <= report.activations <= TABLE + SCALARS
    # Running mean and variance of the normalisation and its count, the features.
    assert report.buffers == 2 * DIM * 4 + 8 + ROWS * 5 * 4
    assert report.best_weights == 2 * TABLE + 2 * DIM * 4 + 8


def test_evaluation_is_a_few_blocks_of_scores_whatever_the_number_of_users():
    block = 64 * ROWS * 4
    small, large = (measure(Counted(), block_size=size).evaluation for size in (64, 128))
    assert 2 * block <= small <= 3.2 * block
    assert large == pytest.approx(2 * small, rel=0.05)


def test_of_several_stages_the_largest_counts():
    first, second = Stage("a", parameters=("user",)), Stage("b", parameters=("item",))
    # The exponential of the users is made in both stages and kept for a gradient in the first.
    report = measure(Counted([first, second]))
    assert (report.gradients, report.optimizer) == (TABLE, 2 * TABLE + 4)
    assert TABLE <= report.activations <= TABLE + SCALARS


@pytest.mark.parametrize("name", sorted(MODELS))
def test_measuring_leaves_no_trace(name):
    model_class = get_model(name)
    torch.manual_seed(3)
    model = model_class(checkerboard_graph(), model_class.Config()).train()
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    before = {key: (value, value.clone(), value.requires_grad) for key, value in tensors.items()}
    modules, random = dict(model.named_modules()), torch.get_rng_state()
    report = measure(model)
    assert (report.activations > 0) == bool(model.stages)
    assert torch.equal(torch.get_rng_state(), random)
    assert dict(model.named_modules()) == modules
    after = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert after.keys() == before.keys()
    for key, (tensor, value, requires_grad) in before.items():
        assert after[key] is tensor
        assert torch.equal(tensor, value)
        assert tensor.requires_grad == requires_grad
        assert tensor.grad is None
    assert all(module.training for module in model.modules())


def test_of_a_model_without_stages_only_the_ranking_is_measured():
    class Untrained(Counted):
        stages = ()

        def losses(self, batch):
            raise AssertionError

    model, drawn = Untrained(), []
    sampler = board_sampler()
    sampler.epoch = lambda *_: drawn.append(1)
    report = measure_memory(model, sampler, config=TrainingConfig())
    idle = (report.gradients, report.optimizer, report.best_weights, report.activations)
    assert idle == (0, 0, 0, 0)
    assert report.parameters == 2 * TABLE
    assert report.evaluation > 0
    assert drawn == []


def test_hooks_and_running_means_belong_to_the_copy():
    model = Counted()
    measure(model)
    assert model.told == []
    assert not hasattr(model, "epoch_graph")
    assert model.norm.num_batches_tracked.item() == 0


@pytest.mark.parametrize(
    ("part", "remedy"),
    [
        ("parameters", "lower model.embedding_dim"),
        ("sampler", "lower model.embedding_dim"),
        ("activations", "lower model.embedding_dim"),
        ("evaluation", "lower evaluation.block_size"),
    ],
)
def test_a_limit_names_rule_need_and_remedy(part, remedy, monkeypatch):
    """Just above what all parts before it need, the part itself is what exceeds the limit."""
    monkeypatch.setattr("mmgraph.training.memory.resident_bytes", lambda: 0)
    model = Counted()
    full = measure(model, block_size=256)
    done = {"evaluation": full.total - 1, "activations": replace(full, evaluation=0).total - 1}
    steps = replace(full, activations=0, evaluation=0)
    done |= {"sampler": steps.total - 1, "parameters": replace(steps, sampler=0).total}
    with pytest.raises(ConfigError) as caught:
        measure(model, block_size=256, limit=done[part])
    message = str(caught.value)
    assert message.startswith("training must stay within --max-memory, ")
    assert "(it needs " in message
    assert remedy in message
    assert "\n" not in message
    assert measure(model, block_size=256, limit=full.total) == full


def test_the_largest_part_that_can_be_changed_decides_the_remedy(monkeypatch):
    monkeypatch.setattr("mmgraph.training.memory.resident_bytes", lambda: 10**6)
    with pytest.raises(ConfigError, match="train on fewer interactions"):
        measure(Counted(rows=12), limit=10**6 + 3000)


def test_a_model_that_is_too_large_stops_as_soon_as_that_is_known(monkeypatch):
    monkeypatch.setattr("mmgraph.training.memory.resident_bytes", lambda: 0)
    made = []

    class Grows(Counted):
        def losses(self, batch):
            kept = []
            for _ in range(100):
                kept.append(torch.zeros(TABLE // 4))
                made.append(1)
            return super().losses(batch)

    lasting = replace(measure(Counted()), activations=0, evaluation=0).total
    with pytest.raises(ConfigError, match="it needs more than"):
        measure(Grows(), limit=lasting + 10 * TABLE)
    assert len(made) <= 13


def test_a_table_above_the_limit_is_refused_before_it_is_filled(monkeypatch):
    monkeypatch.setattr("mmgraph.training.memory.resident_bytes", lambda: 10**6)
    filled = []

    def build():
        torch.empty(TABLE // 4)
        filled.append(1)
        return Counted()

    for limit in (10**6 - 1, 10**6 + TABLE - 1):
        with pytest.raises(ConfigError, match="it needs more than"):
            build_within(limit, build, CPU)
    assert not filled


def test_what_the_process_holds_is_not_in_the_memory_of_a_gpu(monkeypatch):
    monkeypatch.setattr("mmgraph.training.memory.resident_bytes", lambda: 10**9)
    build = partial(Counted, rows=12)
    build_within(10**6, build, torch.device("cuda"))
    with pytest.raises(ConfigError, match="libraries and data alone take this"):
        build_within(10**6, build, CPU)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_within_the_limit_is_the_model_without_one(name):
    model_class, models = get_model(name), []
    for limit in (None, 10**12):
        torch.manual_seed(7)
        build = partial(model_class, checkerboard_graph(), model_class.Config())
        models.append(build_within(limit, build, CPU))
    without, within = (model.state_dict() for model in models)
    assert without.keys() == within.keys()
    assert all(torch.equal(value, within[name]) for name, value in without.items())


def test_a_limit_below_what_is_there_already_is_refused_before_anything_is_computed():
    class Fails(Counted):
        def losses(self, batch):
            raise AssertionError

    with pytest.raises(ConfigError, match="libraries and data alone take this"):
        measure(Fails(), limit=10**6)


def test_live_bytes_follow_making_views_and_end():
    live, there = LiveBytes(), torch.zeros(100)
    with live.watching("example"):
        view = there[:50]
        view += 1  # in place: nothing new
        assert live.now == 0
        first = there * 2
        part, last = first[10:], first.view(10, 10)
        del first, last
        assert live.now == 400
        del part
        assert live.now == 0
    assert live.peak == 400


def test_live_bytes_see_what_the_backward_pass_keeps_and_makes():
    live, x = LiveBytes(), torch.zeros(100, requires_grad=True)
    with live.watching("example"):
        y = x.sin().exp().sum()  # the exponential is kept; the sine of x needs x alone
        assert live.now == 400 + 4
        y.backward()
    assert torch.equal(x.grad, torch.ones(100))
    assert 3 * 400 <= live.peak <= 4 * 400 + 8
    del x, y
    assert live.now == 0


@pytest.mark.parametrize("convert", ["to_sparse_csr", "to_sparse_coo"])
def test_live_bytes_count_the_parts_of_sparse_tensors(convert):
    live, dense = LiveBytes(), torch.eye(5)
    with live.watching("example"):
        matrix = getattr(dense, convert)()
    parts = 5 * 4 + (5 + 6 if convert == "to_sparse_csr" else 5 + 5) * 8
    assert parts <= live.now <= 1.5 * parts  # torch may keep an index as a part of a larger one
    del matrix
    assert live.now == 0


def test_watching_again_measures_anew_above_what_is_left():
    live = LiveBytes()
    with live.watching("first"):
        kept = torch.zeros(100)
    with live.watching("second"):
        torch.zeros(10)
    assert (live.now, live.peak) == (400, 40)
    del kept
    assert live.now == 0


def test_the_copy_goes_when_the_measuring_ends(monkeypatch):
    copies = []

    class Watched(Counted):
        def losses(self, batch):
            copies.append(weakref.ref(self))
            return super().losses(batch)

    measure(Watched())
    assert [copy() for copy in copies] == [None]


def test_the_memory_of_this_process_grows_with_it():
    gc.collect()  # what earlier tests left must not go in between
    before = resident_bytes()
    if not before:
        pytest.skip("the system does not tell")
    block = torch.ones(20_000_000)
    assert resident_bytes() - before > 0.9 * size_of([block])


def test_a_report_is_one_line_and_one_record():
    report = MemoryReport(parameters=2_000_000, activations=10_000_000, evaluation=10**9, sampler=1)
    assert report.total == 2_000_000 + 10**9 + 1
    assert str(report) == "1.00 GB: evaluation 1.00 GB, activations 10.0 MB, parameters 2.00 MB"
    record = report.record()
    assert record["total"] == report.total
    assert MemoryReport(**{k: v for k, v in record.items() if k != "total"}) == report

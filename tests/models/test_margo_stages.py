"""MARGO's stages: what learns when, where the second one starts, and going on after an interruption."""

import pytest
import torch

from mmgraph.experiment import Observer, evaluate, load_run, resume
from mmgraph.experiment import train as train_run
from mmgraph.models.margo import MARGO, MARGOConfig
from mmgraph.nn import bpr_loss
from mmgraph.testing import checkerboard_dataset, checkerboard_graph
from mmgraph.testing.contract import board_batch, disturb
from mmgraph.training import CheckpointStore, PairwiseSampler, TrainingConfig, fit

SMALL = {"name": "dragon", "embedding_dim": 4, "hidden_dim": 8}


def make(*, seed=0, **options):
    torch.manual_seed(seed)
    config = MARGOConfig(**{"backbone": SMALL, **options})
    return MARGO(checkerboard_graph(), config).double()


def sampler():
    train = checkerboard_dataset().train
    return PairwiseSampler(torch.from_numpy(train.user), torch.from_numpy(train.item), num_items=12)


def train(model, *, epochs=3, validate=None, checkpoints=None, on_epoch=None):
    torch.manual_seed(5)
    config = TrainingConfig(
        max_epochs=epochs, batch_size=16, learning_rate=0.01, checkpoint_seconds=0
    )
    return fit(
        model,
        sampler(),
        config=config,
        seed=4,
        validate=validate,
        select_by="recall@20",
        checkpoints=checkpoints,
        on_epoch=on_epoch,
    )


def test_without_calibration_training_is_bpr_on_the_weighted_sum():
    """Its trajectory is that of a model written here with nothing but the weighted sum."""

    class Plain(MARGO):
        def losses(self, batch):
            rows = self.batch_rows(batch)
            return {"bpr": bpr_loss(*rows.scores()), **self.backbone.penalties(batch, rows)}

    options = MARGOConfig(backbone=SMALL, alpha=0.0, two_stage=False)
    models = []
    for kind in (MARGO, Plain):
        torch.manual_seed(0)
        models.append(kind(checkerboard_graph(), options).double())
        train(models[-1])
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(value, models[1].state_dict()[name], rtol=1e-9, atol=1e-12)
    assert "calibration" not in models[0].losses(board_batch())


def test_stages_and_what_learns_in_them():
    model = make()
    before = {name: value.clone() for name, value in model.named_parameters()}
    seen = []

    def on_epoch(report):
        moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        seen.append(
            (report.stage, "trust.item_logits" in moved, model.weighted, set(report.losses))
        )

    train(model, epochs=2, on_epoch=on_epoch)
    plain, weighted = {"bpr", "reg"}, {"bpr", "reg", "calibration"}
    assert seen == [("first", False, False, plain)] * 2 + [("second", True, True, weighted)] * 2
    first, second = model.stages
    assert first.loss_weights == {"reg": 0.1}
    assert second.loss_weights == {"reg": 0.1, "calibration": 0.1}


def test_the_second_stage_may_learn_more_slowly():
    assert [stage.rate for stage in make(second_rate=0.1).stages] == [1, 0.1]
    assert [stage.rate for stage in make(second_rate=0.1, two_stage=False).stages] == [1]


def test_the_second_stage_starts_from_the_best_weights_of_the_first():
    model, states = make(), []
    values = iter([0.1, 0.9, 0.3, 0.2, 0.1, 0.05])
    original = model.on_stage

    def on_stage(stage):
        states.append({k: v.clone() for k, v in model.backbone.state_dict().items()})
        original(stage)

    object.__setattr__(model, "on_stage", on_stage)
    after = []
    train(
        model,
        validate=lambda _: {"recall@20": next(values)},
        on_epoch=lambda report: after.append(
            {k: v.clone() for k, v in model.backbone.state_dict().items()}
        ),
    )
    assert all(torch.equal(v, after[1][k]) for k, v in states[1].items())
    assert not all(torch.equal(v, after[2][k]) for k, v in states[1].items())
    assert model.weighted  # the best of the second stage is kept, though the first had a better one


class Killed(Exception):
    pass


@pytest.mark.parametrize("die_after", [2, 3, 4, 5])
def test_going_on_across_the_stages_ends_with_the_same_bits(tmp_path, die_after):
    def go(model, checkpoints=None, die=None):
        def on_epoch(report):
            if report.epoch == die:
                raise Killed

        return train(model, validate=validate, checkpoints=checkpoints, on_epoch=on_epoch)

    def validate(model):
        user, item = model.encode()
        return {"recall@20": (user @ item.T).sum().item()}

    straight, store = make(), CheckpointStore(tmp_path / "checkpoints")
    expected = go(straight)
    with pytest.raises(Killed):
        go(make(), store, die_after)
    again = make(seed=1)
    assert go(again, store) == expected
    assert again.weighted
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in straight.state_dict().items())


def test_a_run_killed_between_the_stages_goes_on_to_the_same_files(tmp_path):
    options = ["model.first_epochs=1", "model.second_epochs=2", "training.checkpoint_seconds=0"]
    options += ["model.backbone.embedding_dim=4", "model.backbone.content_dim=4"]
    options += ["model.backbone.name=vbpr", "evaluation.metrics=['recall']"]

    class Killing(Observer):
        def epoch(self, report, recipe):
            if report.epoch == 1:
                raise Killed

    given = {"recipe": "margo", "dataset": "movielens-small", "overrides": options}
    straight = train_run(**given, out=tmp_path / "straight")
    with pytest.raises(Killed):
        train_run(**given, out=tmp_path / "broken", observer=Killing())
    resume(tmp_path / "broken")
    for name in ("model.safetensors", "embeddings.safetensors", "metrics.jsonl"):
        pair = [(tmp_path / folder / name).read_bytes() for folder in ("straight", "broken")]
        assert pair[0] == pair[1], name
    loaded = load_run(tmp_path / "straight")
    assert loaded.model.weighted
    assert evaluate(loaded).mean == straight.metrics["test"]
    vectors = loaded.model.retrieval_embeddings()
    torch.testing.assert_close(
        vectors.user @ vectors.item.T, loaded.model.score(torch.arange(loaded.model.num_users))
    )


def test_ablations_name_keys_of_the_recipe():
    made = {}
    for label, changes in MARGO.ablations.items():
        table = {key.removeprefix("model."): value for key, value in changes.items()}
        made[label] = MARGO(checkerboard_graph(), MARGOConfig(backbone=SMALL, **table))
    assert [[stage.name for stage in model.stages] for model in made.values()] == [
        ["first"],
        ["first", "second"],
        ["second"],
        ["first", "second"],
    ]
    assert made["w/o weight"].trust is None
    assert made["w/o weight"].modality_weights() == {}
    assert made["w/o two-stage"].weighted
    reached = {}
    for label, model in made.items():
        model.double().train().on_stage(model.stages[-1])
        disturb(model)
        terms = model.losses(board_batch())
        if "calibration" in terms:
            terms["calibration"].backward()
            reached[label] = model.backbone.gcn.user_preference.grad is not None
    assert reached == {"w/o two-stage": False, "w/o nograd": True}


def test_equal_weights_are_the_two_stages_alone():
    model = make(learn_weights=False).eval()
    first, second = model.stages
    plain = model.score(torch.arange(12))
    model.on_stage(second)
    assert torch.equal(model.score(torch.arange(12)), plain)
    assert (first.name, second.name) == ("first", "second")
    assert second.loss_weights == first.loss_weights
    assert all(name.startswith("backbone.") for name, _ in model.named_parameters())


def test_one_stage_has_the_epochs_of_both():
    for limits, first, second in (
        ({"first_epochs": 3, "second_epochs": 4}, 3, 4),
        ({"first_epochs": 3}, 3, 10),
        ({}, 10, 10),
    ):
        two = make(**limits).stages
        assert [stage.max_epochs(10) for stage in two] == [first, second]
        for variant in ("weighting", "two_stage"):
            (one,) = make(**limits, **{variant: False}).stages
            assert one.max_epochs(10) == first + second

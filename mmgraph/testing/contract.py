"""What any recommender must do, ours or a third party's. Inherit it in a test and name the model."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from mmgraph.data import Interactions, ModalityFeatures, MultimodalDataset
from mmgraph.evaluation.ranking import UserItems, rank_items
from mmgraph.graph import GraphConfig, build_graph
from mmgraph.models.base import ModelConfig, Recommender
from mmgraph.models.batch import Batch
from mmgraph.testing.tiny import checkerboard_dataset
from mmgraph.training import PairwiseSampler, TrainingConfig, fit


class ScoringContract:
    """Checks of one model, trained or not; a test class inherits them and sets ``model`` and ``options``.

    For a model that is not trained; the others have :class:`RecommenderContract`.

    Example:
        >>> from mmgraph.models.cb import CB
        >>> class TestCB(ScoringContract):
        ...     model = CB
        >>> TestCB().test_solves_the_checkerboard()
    """

    model: ClassVar[type[Recommender]]
    options: ClassVar[dict[str, Any]] = {}
    training: ClassVar[dict[str, Any]] = {"max_epochs": 80, "learning_rate": 0.05, "batch_size": 16}

    def make(self, graph: HeteroData | None = None, **changes: Any) -> Recommender:
        """Return the model on a graph, the checkerboard's by default, in float64 and with seeded weights."""
        graph = board_graph(checkerboard_dataset()) if graph is None else graph
        config = self.model.Config(**{**self.options, **changes})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.model(graph, config).double()

    def used(self) -> Recommender:
        """Return the model after whatever it keeps traces of has happened."""
        return self.make()

    def trained(self, **changes: Any) -> Recommender:
        """Return the model trained on the checkerboard."""
        data = checkerboard_dataset()
        model = self.make()
        sampler = PairwiseSampler(
            torch.from_numpy(data.train.user),
            torch.from_numpy(data.train.item),
            num_items=12,
            num_negatives=model.num_negatives,
        )
        config = TrainingConfig(**{**self.training, **changes})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            fit(model, sampler, config=config, seed=0, validate=None, select_by="recall@20")
        return model.eval()

    def test_config_round_trip(self) -> None:
        """A config survives being written and read; the defaults alone make a valid config."""
        config = self.model.Config(**self.options)
        assert self.model.Config.model_validate_json(config.model_dump_json()) == config
        assert isinstance(self.model.Config(**{}), ModelConfig)

    def test_what_has_parameters_is_trained_and_nothing_else(self) -> None:
        """There are stages where there is something to learn."""
        model = self.make()
        assert bool(model.stages) == any(True for _ in model.parameters())

    def test_encoding_is_pure(self) -> None:
        """In eval mode, encoding twice gives the same bits and leaves no trace."""
        model = self.used().eval()
        first, state = model.encode(), {k: v.clone() for k, v in model.state_dict().items()}
        second = model.encode()
        assert torch.equal(first.user, second.user)
        assert torch.equal(first.item, second.item)
        assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())

    def test_shapes(self) -> None:
        """One vector per user and item, one score per item."""
        model = self.make().eval()
        user, item = model.encode()
        assert (user.size(0), item.size(0)) == (model.num_users, model.num_items)
        assert model.score(torch.tensor([3, 1])).shape == (2, model.num_items)

    def test_retrieval_embeddings_are_the_score(self) -> None:
        """Where vectors for retrieval exist, their inner product is the score."""
        model = self.make().eval()
        vectors = model.retrieval_embeddings()
        if vectors is not None:
            users = torch.arange(model.num_users)
            product = vectors.user @ vectors.item.T
            torch.testing.assert_close(product, model.score(users), rtol=1e-12, atol=1e-12)

    def test_relabelling_items_relabels_scores(self) -> None:
        """Renaming users and items, with their weights, permutes the scores and changes nothing else."""
        data = checkerboard_dataset()
        generator = torch.Generator().manual_seed(1)
        users = torch.randperm(data.num_users, generator=generator)
        items = torch.randperm(data.num_items, generator=generator)
        model = self.make().eval()
        other = self.make(board_graph(relabel(data, users, items))).eval()
        renamed = {k: rename(k, v, users, items) for k, v in model.state_dict().items()}
        other.load_state_dict(renamed)
        everyone = torch.arange(model.num_users)
        expected = model.score(everyone)[users][:, items]
        torch.testing.assert_close(other.score(everyone), expected, rtol=1e-9, atol=1e-9)

    def test_same_seed_same_bits(self) -> None:
        """Training twice from one seed ends with the same weights, bit for bit."""
        first, second = (self.trained(max_epochs=3) for _ in range(2))
        assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())

    def test_loaded_weights_give_equal_scores(self) -> None:
        """A fresh model with loaded weights scores as the trained one, bit for bit."""
        trained = self.trained(max_epochs=2)
        fresh = self.make()
        fresh.load_state_dict(trained.state_dict())
        everyone = torch.arange(trained.num_users)
        assert torch.equal(fresh.eval().score(everyone), trained.score(everyone))

    def test_solves_the_checkerboard(self) -> None:
        """The held-out diagonal item comes first for every user."""
        data = checkerboard_dataset()
        model = self.trained()
        seen = UserItems.from_pairs(
            data.train.user, data.train.item, num_users=12, num_items=12, name="train"
        )
        with torch.no_grad():
            top = rank_items(model.score, torch.arange(12), k=1, num_items=12, seen=seen)
        assert top.squeeze(1).tolist() == list(range(12))


class RecommenderContract(ScoringContract):
    """Checks of one model that is trained; a test class inherits them and sets ``model`` and ``options``.

    Example:
        >>> from mmgraph.models.bpr_mf import BPRMF
        >>> class TestBPRMF(RecommenderContract):
        ...     model, options = BPRMF, {"embedding_dim": 4}
        >>> TestBPRMF().test_encoding_is_pure()
    """

    def used(self) -> Recommender:
        """Return the model after a training step."""
        model = self.make()
        losses(model, board_batch(model.num_negatives)).backward()
        return model

    def test_every_parameter_learns(self) -> None:
        """Each parameter gets a gradient that is not zero in the first steps of an epoch."""
        model = self.make().train()
        disturb(model)
        model.on_epoch(1)
        losses(model, board_batch(model.num_negatives)).backward()
        idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert idle == []

    def test_gradients_equal_finite_differences(self) -> None:
        """Of every parameter, the entry with the largest gradient has the slope of the loss."""
        model = self.make().train()
        disturb(model)

        def loss() -> Tensor:
            model.on_epoch(1)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return losses(model, board_batch(model.num_negatives))

        loss().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            gradient, numbers = parameter.grad.view(-1), parameter.detach().view(-1)
            place = int(gradient.abs().argmax())
            value, ends = numbers[place].clone(), []
            for step in (1e-6, -1e-6):
                numbers[place] = value + step
                ends.append(loss().item())
            numbers[place] = value
            expected = gradient[place].item()
            assert abs((ends[0] - ends[1]) / 2e-6 - expected) < 1e-6 * max(1, abs(expected)), name

    def test_losses_leave_the_batch_alone(self) -> None:
        """The same batch twice, with the same random numbers, gives the same terms."""
        model = self.make().train()
        batch = board_batch(model.num_negatives)
        copy = [x.clone() for x in batch[:3]]
        model.on_epoch(1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first = model.losses(batch)
            torch.manual_seed(0)
            second = model.losses(batch)
        assert all(torch.equal(a, b) for a, b in zip(batch[:3], copy, strict=True))
        assert all(torch.equal(first[name], second[name]) for name in first)


def board_graph(data: MultimodalDataset) -> HeteroData:
    """Return the graph of a board with three neighbours per modality."""
    return build_graph(data, GraphConfig(k=3))


def board_batch(num_negatives: int = 1) -> Batch:
    """Return eight triples of the checkerboard, each with so many different negatives, at most six."""
    user = torch.arange(8)
    negative = (user + 3) % 12
    if num_negatives > 1:
        negative = (negative[:, None] + 2 * torch.arange(num_negatives)) % 12
    return Batch(user, (user + 2) % 12, negative)


def losses(model: Recommender, batch: Batch) -> Tensor:
    """Return the weighted sum of the terms of the first stage."""
    weights = model.stages[0].loss_weights
    return torch.stack([weights.get(k, 1.0) * v for k, v in model.losses(batch).items()]).sum()


def disturb(model: Recommender) -> None:
    """Move every parameter a little, so that those that start at zero do not hide the gradients of others."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(noise, alpha=0.1)


def relabel(data: MultimodalDataset, users: Tensor, items: Tensor) -> MultimodalDataset:
    """Return the data set in which new user ``u`` is old user ``users[u]``, and likewise for items."""
    new_user, new_item = users.argsort().numpy(), items.argsort().numpy()
    train = Interactions(new_user[data.train.user], new_item[data.train.item])
    old = items.numpy()
    features = {
        name: ModalityFeatures(name, f.x[old], f.present[old], f.provenance)
        for name, f in data.features.items()
    }
    return MultimodalDataset(**{**vars(data), "train": train, "features": features})


def rename(name: str, value: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """Return a weight with its rows in the new order; rows per user or item are told by the name."""
    if "user" in name.split(".")[-1]:
        return value[users]
    return value[items] if "item" in name.split(".")[-1] else value

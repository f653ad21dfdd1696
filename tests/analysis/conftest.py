"""Runs of a model that answers every question in a known way, on the checkerboard."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from mmgraph.experiment import train
from mmgraph.models import MODELS
from mmgraph.models.bpr_mf import BPRMF, BPRMFConfig
from mmgraph.run import Run
from mmgraph.testing.tiny import checkerboard_dataset


class OpenConfig(BPRMFConfig):
    """With switches for what the model has."""

    name: Literal["open"] = "open"
    answers: bool = True
    tied: bool = False


class Open(BPRMF):
    """Trusts text more the later an item stands in the catalogue; its vectors are the colours of the board."""

    Config = OpenConfig
    config: OpenConfig

    def modality_weights(self) -> dict[str, Tensor]:
        if not self.config.answers:
            return {}
        text = torch.arange(self.num_items) / 16
        if self.config.tied:
            text = torch.full((self.num_items,), 0.25)
        return {"text": text, "image": 1 - text}

    def modality_influence(self, users: Tensor, items: Tensor) -> dict[str, Tensor]:
        if not self.config.answers:
            return {}
        text = (users + items) / 32
        return {"interactions": torch.full_like(text, 0.25), "text": text, "image": 0.75 - text}

    def item_vectors(self) -> Tensor:
        item = torch.arange(self.num_items)
        return torch.stack([item % 2, 1 - item % 2], dim=1).float()

    def modality_vectors(self) -> dict[str, Tensor]:
        if not self.config.answers:
            return {}
        return {"interactions": self.item_vectors(), "image": torch.eye(self.num_items)}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the model known under the name ``open``."""
    module = types.ModuleType("open_models")
    module.Open = Open  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "open_models", module)
    monkeypatch.setitem(MODELS, "open", "open_models:Open")


@pytest.fixture
def trained(tmp_path: Path, registered: None) -> Callable[..., Run]:
    """Return a function that trains a model for one epoch on the checkerboard, two wide if no key says otherwise."""

    def make(model: str = "open", *overrides: str, folder: str = "run", **options: Any) -> Run:
        board = checkerboard_dataset()
        run = train(
            model,
            board,
            overrides=["training.max_epochs=1", *(overrides or ["model.embedding_dim=2"])],
            out=tmp_path / folder,
            **options,
        )
        # The board is made, not read: a run cannot find it by its name.
        run.__dict__["dataset"] = board
        return run

    return make

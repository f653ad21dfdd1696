"""Sampler, loop, early stopping and checkpoints: one trainer for every model."""

from mmgraph.training.checkpoint import CheckpointStore
from mmgraph.training.loop import EpochReport, FitResult, TrainingConfig, fit
from mmgraph.training.sampler import PairwiseSampler
from mmgraph.training.stopping import EarlyStopping

__all__ = [
    "CheckpointStore",
    "EarlyStopping",
    "EpochReport",
    "FitResult",
    "PairwiseSampler",
    "TrainingConfig",
    "fit",
]

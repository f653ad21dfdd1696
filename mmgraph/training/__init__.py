"""Sampler, loop, early stopping, checkpoints and the memory they take: one trainer for every model."""

from mmgraph.training.checkpoint import CheckpointStore
from mmgraph.training.loop import EpochReport, FitResult, TrainingConfig, fit
from mmgraph.training.memory import MemoryReport, build_within, measure_memory
from mmgraph.training.sampler import PairwiseSampler, Sampler
from mmgraph.training.stopping import EarlyStopping

__all__ = [
    "CheckpointStore",
    "EarlyStopping",
    "EpochReport",
    "FitResult",
    "MemoryReport",
    "PairwiseSampler",
    "Sampler",
    "TrainingConfig",
    "build_within",
    "fit",
    "measure_memory",
]

"""What leaves a run: its folder, its vectors, and lists for external ids."""

from mmgraph.export.epoch_log import EpochLog
from mmgraph.export.machine import environment
from mmgraph.export.own_rows import read_own_rows
from mmgraph.export.recommendations import Recommendation, recommend, to_table
from mmgraph.export.run_files import write_inputs, write_outputs
from mmgraph.export.run_folder import RunFolder

__all__ = [
    "EpochLog",
    "Recommendation",
    "RunFolder",
    "environment",
    "read_own_rows",
    "recommend",
    "to_table",
    "write_inputs",
    "write_outputs",
]

"""Pictures of results; they need matplotlib (the extra ``report``) and no display."""

from mmgraph.report.analysis import save_attention, save_preservation, save_weights
from mmgraph.report.figure import check_drawing, drawing, label, render, write_result

__all__ = [
    "check_drawing",
    "drawing",
    "label",
    "render",
    "save_attention",
    "save_preservation",
    "save_weights",
    "write_result",
]

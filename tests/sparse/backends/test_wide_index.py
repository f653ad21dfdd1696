"""Indices are widened once, and the copy goes with its original."""

import gc
import weakref

import torch

from mmgraph.sparse.backends.wide_index import as_int64


def test_wide_indices_are_taken_as_they_are() -> None:
    index = torch.arange(3)
    assert as_int64(index) is index


def test_narrow_indices_are_copied_once() -> None:
    index = torch.arange(3, dtype=torch.int32)
    wide = as_int64(index)
    assert wide.dtype == torch.int64
    assert wide.tolist() == [0, 1, 2]
    assert as_int64(index) is wide


def test_a_copy_goes_with_its_original() -> None:
    index = torch.arange(3, dtype=torch.int32)
    copy = weakref.ref(as_int64(index))
    gc.collect()
    assert copy() is not None
    del index
    gc.collect()
    assert copy() is None

"""Raw files to :class:`MultimodalDataset`: interactions, splits, features, titles by external id.

Read in this order: ``card`` (what a folder says about itself), ``tables`` and ``readers``,
``vocabulary``, ``interactions``, ``features``, ``split``, and ``dataset``, which joins them; ``kept`` is about parts of
a data set.
"""

from mmgraph.data.card import DatasetCard, read_card
from mmgraph.data.dataset import MultimodalDataset, bundled_datasets, describe, load_dataset
from mmgraph.data.features import ModalityFeatures
from mmgraph.data.interactions import Interactions
from mmgraph.data.kept import keep_rows, read_kept
from mmgraph.data.split import SplitConfig, leakage_note, write_split
from mmgraph.data.vocabulary import Vocabulary

__all__ = [
    "DatasetCard",
    "Interactions",
    "ModalityFeatures",
    "MultimodalDataset",
    "SplitConfig",
    "Vocabulary",
    "bundled_datasets",
    "describe",
    "keep_rows",
    "leakage_note",
    "load_dataset",
    "read_card",
    "read_kept",
    "write_split",
]

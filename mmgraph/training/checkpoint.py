"""Where a run can go on from: folders of safetensors and JSON that appear whole or not at all."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmgraph.errors import DataError
from mmgraph.files import new_folder

_TENSORS, _STATE = "tensors.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name (parameters, optimiser state, random state) and the plain values beside them."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with ``prefix/``, without it."""
        start = f"{prefix}/"
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}


class CheckpointStore:
    """Keeps the newest checkpoint of a run under one folder.

    A checkpoint is written beside its place, flushed to disk and then renamed, and only afterwards are older ones
    removed, so a process killed at any moment leaves a whole checkpoint, or none, behind.

    Args:
        folder: Where the checkpoints live; made on the first save.

    Example:
        >>> import tempfile
        >>> store = CheckpointStore(Path(tempfile.mkdtemp()) / "checkpoints")
        >>> store.latest() is None
        True
        >>> store.save(3, {"x": torch.ones(1)}, {"note": "third"})
        >>> store.latest().state
        {'note': 'third'}
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write a checkpoint; ``step`` must grow from save to save.

        Raises:
            OSError: it cannot be written, such as for want of room; the one before it stays.
        """
        final = self.folder / f"{step:08d}"
        with new_folder(final) as fresh:
            try:
                contiguous = {k: v.detach().contiguous() for k, v in tensors.items()}
                save_file(contiguous, fresh / _TENSORS)
            except SafetensorError as error:  # it has no number of the system's error
                raise OSError(f"{final}: the checkpoint cannot be written ({error})") from error
            (fresh / _STATE).write_text(json.dumps(state), encoding="utf-8")
        for old in self._folders():
            if old != final:
                shutil.rmtree(old)

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint, or None.

        Raises:
            DataError: the newest checkpoint cannot be read.
        """
        folders = self._folders()
        if not folders:
            return None
        newest = folders[-1]
        try:
            state = json.loads((newest / _STATE).read_text(encoding="utf-8"))
            return Checkpoint(load_file(newest / _TENSORS), state)
        except (OSError, ValueError, SafetensorError) as error:
            raise DataError(
                f"{newest}: the checkpoint must be readable ({error}); delete it to start the run again"
            ) from error

    def clear(self) -> None:
        """Remove all checkpoints: the run is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(path for path in found if path.name.isdigit())


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state into tensors and plain values that JSON can hold."""
    packed = optimizer.state_dict()
    tensors = {
        f"{index}/{key}": value
        for index, entries in packed["state"].items()
        for key, value in entries.items()
    }
    return tensors, {"param_groups": packed["param_groups"]}


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]
) -> None:
    """Put back what ``pack_optimizer`` took out."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split("/", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": plain["param_groups"]})

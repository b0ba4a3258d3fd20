"""The states that an unfinished training keeps, to resume from after it was killed."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.plugins import TorchCheckpointIO

from edgeser_train.files import make_folder, write_whole, writing
from edgeser_train.training.progress import remove_progress

BEST, LATEST = "best", "latest"
_AT_LEAST_EVERY_S = 60.0
_MOST_OF_TIME = 1 / 20
"""The share of time for states of long epochs: a large one takes a minute to write."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's states, each written atomically."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getbuffer())


class MovableState(ModelCheckpoint):
    """A state that is kept in this folder, even if the run was moved since the training began.

    Lightning, resuming in another folder, forgets how good the best epoch was, so that the next
    epoch would win, and removes the state in the old folder.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict[name]) for name in paths}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(
            {**state_dict, **moved, "dirpath": self.dirpath, "best_k_models": best}
        )


class LatestState(MovableState):
    """The state after every ``every``th epoch, and after an epoch that ends at least a minute after
    the last state was kept; later where keeping it took long. ``clock``: seconds.
    """

    def __init__(
        self, work: Path, every: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(
            work,
            LATEST,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self._every = every
        self._clock = clock
        self._due_at = clock() + _AT_LEAST_EVERY_S

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        begun = self._clock()
        due = begun >= self._due_at or (trainer.current_epoch + 1) % self._every == 0
        if trainer.strategy.broadcast(due):  # rank 0 decides: all processes must save together
            super().on_train_epoch_end(trainer, pl_module)
            kept = self._clock()
            self._due_at = kept + max(_AT_LEAST_EVERY_S, (kept - begun) / _MOST_OF_TIME)


class NoEpochLeft(Callback):
    """Makes up for what Lightning omits when it resumes a training that has no epoch left.

    That happens when a process was killed after its last epoch, e.g. while it scored.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stopping = trainer.early_stopping_callback
        if stopping is not None and stopping.wait_count >= stopping.patience:
            trainer.should_stop = True  # otherwise it would train one more epoch

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAveraging):
                callback.on_train_end(trainer, pl_module)  # not called if no epoch is trained


def resumable(work: Path, *, best: bool) -> Path | None:
    """The state to resume from, or None. ``best``: the best epoch's state must exist, too.

    A damaged one is reported on standard error and not used. Raises UserError when the folder
    cannot be made.
    """
    with writing(work):
        make_folder(work)
    latest = work / f"{LATEST}.ckpt"
    if not latest.exists():
        return None
    for path in (latest, work / f"{BEST}.ckpt") if best else (latest,):
        if not _whole(path):
            message = f"edgeser: {path}: damaged or gone; this training begins anew"
            print(message, file=sys.stderr, flush=True)
            return None
    return latest


def _whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as parts:
            return parts.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def remove_if_empty(work: Path) -> None:
    """Remove the folder of a training that kept nothing, and its parent if that is empty, too."""
    with contextlib.suppress(OSError):
        if not any(work.glob("*.ckpt")):
            remove_progress(work)
        work.rmdir()
        work.parent.rmdir()


def remove_states(work: Path) -> None:
    """Remove what a finished training no longer needs, and the parent folder if it is empty."""
    shutil.rmtree(work, ignore_errors=True)
    with contextlib.suppress(OSError):
        work.parent.rmdir()

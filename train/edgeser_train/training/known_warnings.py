"""Warnings that Lightning and torch give in every training like ours, and that help nobody."""

from __future__ import annotations

import logging
import warnings

_KNOWN = (
    ".*does not have many workers.*",  # batches are made faster than they are used
    ".*is smaller than the logging interval.*",
    ".*You called .self.log.*but have no logger configured.*",
    ".*lr_scheduler.step.*before .optimizer.step.*",  # so it seems to torch after a resumption
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*you have not set an explicit .*seed.*",
    ".*IterableDataset.* has .__len__. defined.*",
    ".*resuming from a checkpoint that ended before the epoch ended.*",
    ".*GPU available but not used.*",
    ".*treespec, LeafSpec.*is deprecated.*",  # Lightning's own use of torch
)


def ignore_known_warnings() -> None:
    """Ignore them from here on; every other warning is shown."""
    for message in _KNOWN:
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

"""From a corpus to batches: splits, frames, augmented copies and batches."""

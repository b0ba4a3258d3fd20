"""From a corpus to batches: who trains and who tests, frames, copies and batches."""

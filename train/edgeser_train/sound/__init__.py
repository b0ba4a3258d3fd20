"""The sound of corpora: read, varied for training, and changed as listening conditions do."""

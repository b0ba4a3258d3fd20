"""From a checkpoint to a verified artefact."""

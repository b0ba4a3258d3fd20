"""The journal: the published events that are kept."""

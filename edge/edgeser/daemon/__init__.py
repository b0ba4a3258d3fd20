"""The daemon: sources heard, windows recognised, events published, and a watch over all of it."""

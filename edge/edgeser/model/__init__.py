"""Artefacts, the backends that run them, and the decisions from their scores."""

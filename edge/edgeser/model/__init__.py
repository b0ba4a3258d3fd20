"""Artefacts, what runs them, and what is made of their scores."""

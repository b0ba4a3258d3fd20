"""Baselines of voices on disk: what a stream has learned of how its voice usually sounds."""

"""Subscribing: each event once, in order, and what was missed is said."""

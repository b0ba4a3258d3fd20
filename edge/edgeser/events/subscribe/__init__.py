"""Subscribing: each event once, in order, with gaps for missed ones."""

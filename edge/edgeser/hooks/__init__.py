"""Hooks: a program of the user's that runs on an event."""

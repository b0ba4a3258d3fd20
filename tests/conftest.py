"""Fixtures for all tests."""

from tests.virtual_microphone import pulse_server, virtual_microphone

__all__ = ["pulse_server", "virtual_microphone"]

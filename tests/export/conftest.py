"""The fixtures of training serve here too."""

from tests.train.conftest import _one_thread, _same_draws, cache, emodb, tiny_run

__all__ = ["_one_thread", "_same_draws", "cache", "emodb", "tiny_run"]

"""Fixtures of whole-daemon tests."""

from tests.system.box import box, installed_box

__all__ = ["box", "installed_box"]

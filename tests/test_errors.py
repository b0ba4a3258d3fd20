"""The error that a user sees: two parts, one line."""

from __future__ import annotations

import pickle

import pytest

from edgeser.errors import UserError, one_line


def test_an_error_is_what_is_wrong_and_the_fix() -> None:
    error = UserError("no such file", "give another")
    assert (error.what, error.fix, str(error)) == (
        "no such file",
        "give another",
        "no such file; give another",
    )
    assert str(UserError("no such file")) == "no such file"


def test_an_error_comes_whole_out_of_another_process() -> None:
    error = pickle.loads(pickle.dumps(UserError("a", "b")))
    assert (error.what, error.fix) == ("a", "b")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb.wav", r"a\nb.wav"),
        ("\x1b[31mred\x1b[0m.wav", r"\x1b[31mred\x1b[0m.wav"),
        ("\r\t\x7f\x85\u2028.wav", r"\r\t\x7f\x85\u2028.wav"),
        ("\udcff.wav", r"\udcff.wav"),
        ("übung 音.wav", "übung 音.wav"),
    ],
)
def test_a_files_name_never_breaks_a_line(name: str, shown: str) -> None:
    assert one_line(name) == shown
    assert str(UserError(f"{name}: no sound", f"replace {name}")) == (
        f"{shown}: no sound; replace {shown}"
    )

"""The one error that reaches a user as a line instead of a traceback."""

from __future__ import annotations


class UserError(Exception):
    """An error that the user can fix: what is wrong, naming the thing and the value, and the fix.

    The command line prints both as one line on standard error and exits with 2, or with 1 if the
    machine failed something that was running.
    """

    exit_code = 2

    def __init__(self, what: str, fix: str | None = None) -> None:
        """``fix``: what to do, unless ``what`` says so already."""
        what, fix = one_line(what), fix and one_line(fix)
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}" if self.fix else self.what


def one_line(text: str) -> str:
    """The text with every character that a terminal or a log would obey written as its escape.

    A file's name may hold newlines, terminal escapes and bytes that are no text; a message of one
    line shows them and stays one line.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


OUT_OF_MEMORY = "out of memory"
_NO_MEMORY = (OUT_OF_MEMORY, "can't allocate memory", "not enough memory", "start new thread")
"""What torch and Python say in a RuntimeError when there is no memory."""


def shortage(error: BaseException) -> str | None:
    """What the machine lacked, in one line; None for an error with another cause."""
    words = " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError):
        return f"{OUT_OF_MEMORY}{f' ({words})' if words else ''}"
    if isinstance(error, RuntimeError) and any(sign in words for sign in _NO_MEMORY):
        return f"{OUT_OF_MEMORY} ({words})"
    if isinstance(error, OSError):
        named = error.filename is not None and error.strerror is not None
        return f"{error.filename}: {error.strerror}" if named else words
    return None

"""The one error that reaches a user as a line instead of a traceback."""


class UserError(Exception):
    """Something the user can mend: one line that names the thing, the value and the fix.

    The command line prints it on standard error and exits with 2.
    """

"""The one exception that a user is meant to see."""


class UserError(Exception):
    """A mistake the user can mend: one line that says what is wrong and what is allowed.

    Commands print it without a traceback and end with exit status 2.
    """

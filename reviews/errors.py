"""Errors that a user can mend."""

import errno


class UserError(Exception):
    """A mistake the user can mend: one line that says what is wrong and what is allowed.

    Commands print it without a traceback and end with its exit status.
    """

    status = 2


class EngineError(UserError):
    """A cluster that failed or cannot be reached; with the last lines of a task, if there are."""

    status = 3


def disk_is_full(error: BaseException) -> bool:
    """True when an error says that a disk or a quota has no room left."""
    known = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # HDF5 and safetensors say it in their messages alone.
    return known or "No space left on device" in str(error)

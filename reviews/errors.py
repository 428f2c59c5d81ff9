"""Errors that a user can mend."""

import errno


class UserError(Exception):
    """A mistake the user can mend: one line that says what is wrong and what is allowed.

    Commands print it without a traceback and end with exit status 2.
    """


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that a disk or a quota has no room left."""
    # HDF5 says it in its message alone.
    return isinstance(error, OSError) and (
        error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)
    )

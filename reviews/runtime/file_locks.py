"""Advisory locks of files, on disks that have them."""

import errno
import fcntl
from typing import IO, Any

# Answers of a disk without locks: NFS without its lock daemon, Lustre mounted without flock.
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def lock_file(file: IO[Any], wait: bool = True) -> bool:
    """Lock an open file until it is closed; False on a disk without locks, where it is not.

    Raises BlockingIOError when another process has the lock and this one is not to wait.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        return False
    return True

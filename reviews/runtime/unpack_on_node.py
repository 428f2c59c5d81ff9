"""First step of a job on a node: unpack the package that travelled with it.

The source of this module is the head of the file that `reviews.runtime.package_code` makes, so
it imports nothing but the standard library.
"""

import base64
import io
import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path


def unpack(package: str, digest: str) -> str:
    """The folder with the unpacked package, made by the first task on the node that needs it.

    It outlives tasks, and with it what their compiler keeps in it.
    """
    top = Path(os.environ.get("REVIEWMILL_CACHE") or "/tmp", f"reviewmill-{os.getuid()}")
    top.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = top.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        top = Path(tempfile.mkdtemp(prefix="reviewmill-"))  # somebody else's folder
    folder = top / digest
    if not folder.is_dir():
        unfinished = tempfile.mkdtemp(dir=top)
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(package))) as archive:
            archive.extractall(unfinished)
        try:
            os.rename(unfinished, folder)
        except OSError:  # another task was faster
            shutil.rmtree(unfinished)
    return str(folder)

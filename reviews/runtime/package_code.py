"""Packages as the text of one Python module, for nodes that have not installed them.

So nodes need Python and the requirements, not reviewmill itself, and never run another version
than the one that was called. What the compiler has kept of the kernels goes with it: nodes with
the same kind of processor compile nothing.
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from reviews.compiled.machine_code import SUFFIX
from reviews.runtime import unpack_on_node as on_node

_DATE = (2000, 1, 1, 0, 0, 0)  # the same package has the same bytes
_DATA = (".py", ".yaml")

_UNPACKING = """{head}

import sys

sys.path.insert(0, unpack("{package}", "{digest}"))
"""


def package_code(packages: Sequence[ModuleType]) -> str:
    """Source of a module that, when it is imported, makes a process find the packages."""
    package = _zip(packages)
    return _UNPACKING.format(
        head=Path(on_node.__file__).read_text("utf-8"), package=base64.b64encode(package).decode(),
        digest=hashlib.sha256(package).hexdigest()[:16],
    )


def _zip(packages: Sequence[ModuleType]) -> bytes:
    """The packages, with the kernels that were compiled from their present text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in packages:
            top = Path(package.__path__[0])
            for path in sorted(top.rglob("*")):
                if path.suffix in _DATA or _is_compiled(path):
                    info = zipfile.ZipInfo(str(path.relative_to(top.parent)), _DATE)
                    archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _is_compiled(path: Path) -> bool:
    """True when this is compiled code of a module's present text."""
    if path.suffix not in (".nbi", ".nbc", SUFFIX):
        return False
    source = path.parents[1] / (path.name.split(".")[0] + ".py")
    # Machine code of our own is loaded by a name that depends on the text.
    return source.is_file() and (
        path.suffix == SUFFIX or path.stat().st_mtime >= source.stat().st_mtime)

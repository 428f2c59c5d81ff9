"""A job as one Python file that runs on any node: it carries the package that it came from.

So nodes need Python and the requirements, not reviewmill itself, and never run another version
than the one that was called. What the compiler has kept of the kernels goes with it: nodes with
the same kind of processor compile nothing.
"""

import base64
import hashlib
import io
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import mapreduce
import reviews
from mapreduce.engines import unpack_on_node as on_node

PACKAGES = (reviews, mapreduce)
_DATE = (2000, 1, 1, 0, 0, 0)  # the same package has the same bytes

_UNPACKING = """{head}

import sys

sys.path.insert(0, unpack("{package}", "{digest}"))
"""

_TEMPLATE = """{unpacking}
from {module} import {name} as _Job


class {name}(_Job):
    ON_NODE = True


if __name__ == "__main__":
    {name}.run()
"""


@cache
def launcher(module: str, name: str) -> Path:
    """The file that runs the job of this module and name; it lasts as long as the process."""
    text = _TEMPLATE.format(unpacking=_unpacking(), module=module, name=name)
    path = Path(_folder().name, module.rsplit(".", 1)[-1] + ".py")
    path.write_text(text, "utf-8")
    return path


@cache
def unpacker() -> Path:
    """A module that, when it is imported, makes a process find the package that it carries."""
    path = Path(_folder().name, "reviewmill_package.py")
    path.write_text(_unpacking(), "utf-8")
    return path


@cache
def _unpacking() -> str:
    package = _package()
    return _UNPACKING.format(
        head=Path(on_node.__file__).read_text("utf-8"), package=base64.b64encode(package).decode(),
        digest=hashlib.sha256(package).hexdigest()[:16],
    )


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="reviewmill-")


def module_of(job: type) -> str:
    """The importable name of the module of a job, even of one that runs as a program."""
    if job.__module__ != "__main__":
        return job.__module__
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else f"mapreduce.{Path(sys.argv[0]).stem}"


def _package() -> bytes:
    """The packages as a zip, with the kernels that were compiled from their present text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in PACKAGES:
            top = Path(package.__path__[0])
            for path in sorted(top.rglob("*")):
                if path.suffix in (".py", ".yaml") or _is_compiled(path):
                    info = zipfile.ZipInfo(str(path.relative_to(top.parent)), _DATE)
                    archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _is_compiled(path: Path) -> bool:
    """True when this is a kernel of numba's, not older than its source."""
    if path.suffix not in (".nbi", ".nbc"):
        return False
    source = path.parents[1] / (path.name.split(".")[0] + ".py")
    return source.is_file() and path.stat().st_mtime >= source.stat().st_mtime

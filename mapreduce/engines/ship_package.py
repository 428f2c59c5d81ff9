"""A job as one Python file that runs on any node: it carries the package that it came from."""

import sys
import tempfile
from functools import cache
from pathlib import Path

import mapreduce
import reviews
from reviews.runtime.package_code import package_code

PACKAGES = (reviews, mapreduce)

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
    return package_code(PACKAGES)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="reviewmill-")


def module_of(job: type) -> str:
    """The importable name of the module of a job, even of one that runs as a program."""
    if job.__module__ != "__main__":
        return job.__module__
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else f"mapreduce.{Path(sys.argv[0]).stem}"

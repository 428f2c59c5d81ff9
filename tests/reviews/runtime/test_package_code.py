"""A package that travels has its compiled code with it."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from reviews.runtime.package_code import package_code


@pytest.fixture()
def package(tmp_path: Path) -> ModuleType:
    """A package of one module, with compiled code of it and of a module that is gone."""
    kept = tmp_path / "sent" / "__pycache__"
    kept.mkdir(parents=True)
    for name in ("sums.add-1.nbi", "old.add-1.nbi", "sums.add-1-2.kernel", "gone.add-1-2.kernel"):
        (kept / name).write_bytes(b"code")
    (tmp_path / "sent" / "__init__.py").write_text("")
    for name, seconds in (("sums", -9), ("old", 9)):  # before and after it was compiled
        source = tmp_path / "sent" / f"{name}.py"
        source.write_text("NUMBER = 7")
        changed = (kept / "sums.add-1.nbi").stat().st_mtime + seconds
        os.utime(source, (changed, changed))
    module = ModuleType("sent")
    module.__path__ = [str(tmp_path / "sent")]
    return module


def test_compiled_code_travels_where_it_is_of_the_modules_text(
    package: ModuleType, tmp_path: Path
) -> None:
    program = package_code([package]) + "\nimport sent.sums; print(sent.sums.__file__)"
    done = subprocess.run([sys.executable, "-"], input=program, text=True, capture_output=True,
                          cwd="/", env={**os.environ, "REVIEWMILL_CACHE": str(tmp_path / "node")})
    assert done.returncode == 0, done.stderr
    source = Path(done.stdout.strip())
    assert source.is_relative_to(tmp_path / "node")
    assert {path.name for path in (source.parent / "__pycache__").iterdir()
            if path.suffix != ".pyc"} == {"sums.add-1.nbi", "sums.add-1-2.kernel"}

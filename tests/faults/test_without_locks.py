"""A store and a run on a disk whose flock() is refused, as on NFS (ENOLCK) and Lustre (ENOSYS)."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reviews.generate import generate
from tests.end_to_end.checkout import ROOT
from tests.requirements import need

REFUSING = """
#include <errno.h>
#include <stdlib.h>
int flock(int file, int operation) { errno = atoi(getenv("FLOCK_ERRNO")); return -1; }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that takes the place of the system's flock()."""
    compiler = shutil.which("cc")
    need(compiler is not None, "a C compiler, to refuse locks to a process")
    folder = tmp_path_factory.mktemp("refusing")
    (folder / "refusing.c").write_text(REFUSING)
    subprocess.run([str(compiler), "-shared", "-fPIC", "-o", folder / "refusing.so",
                    folder / "refusing.c"], check=True)
    return folder / "refusing.so"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_reviews_become_a_model_on_a_disk_without_locks(
    number: int, library: Path, tmp_path: Path
) -> None:
    generate(str(tmp_path / "reviews.json"), reviews=200, files=1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(library),
                   "FLOCK_ERRNO": str(number)}
    for words in (["prepare", "reviews.json", "--out", "store"], ["inspect", "store", "--verify"],
                  ["train", "store", "--out", "run", "--model", "bag", "--buckets", "100"]):
        done = subprocess.run([sys.executable, "-m", "reviewmill", *words], cwd=tmp_path,
                              env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model" / "manifest.json").is_file()

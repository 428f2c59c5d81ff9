"""A disk that fills up at any stage ends the run in one line, and leaves nothing behind."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reviews.generate import generate
from tests.mapreduce.corpus import run
from tests.requirements import need

# A disk of its own, in a name space of its own: it is gone when the command ends.
SMALL_DISK = """
mount -t tmpfs -o size=$1 none "$2" || exit 99
folder=$2; shift 2
"$@"; status=$?
ls -A "$folder"; exit $status
"""
# The size of the disk as a part of what the whole run takes: less and less fits.
SIZES = {"inline": (0.1, 0.8, 0.97), "local": (0.4, 0.9)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], int]:
    """Files, and the bytes that the work folder and the store of a whole run take."""
    top = tmp_path_factory.mktemp("corpus")
    files = list(map(str, generate(top / "reviews.json.gz", 3000, files=2)))
    store = run(files, top / "store")
    kept = sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())
    return files, kept + int(json.loads((store.path / "prepare.json").read_text())["work_bytes"])


@pytest.mark.parametrize(
    ("runner", "part"), [(runner, part) for runner, parts in SIZES.items() for part in parts]
)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    runner: str, part: float, corpus: tuple[list[str], int], tmp_path: Path
) -> None:
    need(shutil.which("unshare") is not None, "needs unshare")
    files, needed = corpus
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [sys.executable, "-m", "reviewmill", "prepare", *files, "--runner", runner,
               "--out", str(disk / "store")]
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", SMALL_DISK, "bash",
         str(int(needed * part)), str(disk), *command],
        capture_output=True, text=True, timeout=120,
    )
    need(done.returncode not in (1, 99), f"needs to mount a tmpfs: {done.stderr}")
    *before, last = done.stderr.strip().splitlines()
    assert last.startswith(f"reviewmill prepare: no space left on the disk of {disk}")
    assert all(line.startswith("prepare: ") for line in before)
    assert done.returncode == 2 and done.stdout == ""

"""A disk that fills up at any stage ends the run in one line, and leaves nothing behind."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reviews.generate import generate
from reviews.recipe import load_recipe
from reviews.store import Store
from tests.mapreduce.corpus import bytes_of, run
from tests.requirements import need

# A disk of its own, in a name space of its own: it is gone when the command ends.
SMALL_DISK = """
mount -t tmpfs -o size=$1 none "$2" || exit 99
folder=$2; shift 2
"$@"; status=$?
ls -A "$folder"; exit $status
"""
# The same, with more room afterwards, where the command is called again.
GROWING_DISK = """
mount -t tmpfs -o size=$1 none "$2" || exit 99
folder=$2; shift 2
"$@" && exit 98
mount -o remount,size=1G "$folder" || exit 99
"$@" --workers 1 && ls -A "$folder" && cp -r "$folder/store" "$folder.store"
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


def on_a_disk(
    script: str, disk: Path, corpus: tuple[list[str], int], part: float, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run a script with a disk of this part of what a whole run takes, and with `prepare`."""
    need(shutil.which("unshare") is not None, "needs unshare")
    files, needed = corpus
    disk.mkdir()
    command = [sys.executable, "-m", "reviewmill", "prepare", *files, *options,
               "--out", str(disk / "store")]
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "bash", "-c", script, "bash",
         str(int(needed * part)), str(disk), *command],
        capture_output=True, text=True, timeout=120,
    )
    need(done.returncode not in (1, 99), f"needs to mount a tmpfs: {done.stderr}")
    return done


@pytest.mark.parametrize(
    ("runner", "part"), [(runner, part) for runner, parts in SIZES.items() for part in parts]
)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    runner: str, part: float, corpus: tuple[list[str], int], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    done = on_a_disk(SMALL_DISK, disk, corpus, part, "--runner", runner)
    *before, last = done.stderr.strip().splitlines()
    assert last.startswith(f"reviewmill prepare: no space left on the disk of {disk}")
    assert all(line.startswith("prepare: ") for line in before)
    assert done.returncode == 2 and done.stdout == ""


def test_with_resume_a_run_goes_on_once_there_is_room(
    corpus: tuple[list[str], int], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    done = on_a_disk(GROWING_DISK, disk, corpus, 0.8, "--runner", "local", "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no space left on the disk of") == 1
    assert "prepare: going on with the run of" in done.stderr and done.stdout.endswith("\nstore\n")
    made = Store(tmp_path / "disk.store")
    assert bytes_of(made) == bytes_of(run(corpus[0], tmp_path / "unbroken", load_recipe()))
    counters = json.loads((made.path / "prepare.json").read_text())["counters"]
    assert counters["gather"]["reused"]

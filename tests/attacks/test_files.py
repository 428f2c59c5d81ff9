"""Files that are made to do harm to `score`: records are bad ones, bombs take no memory."""

import gzip
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.scoring.bundles import make_bundle

ROOT = Path(__file__).resolve().parents[2]
MOST_MB = 500  # memory of a start that scores, which is some 340 without a bomb
GOOD = b'{"text": "good tea"}\n'
DEEP = b"[" * 50_000
HARMFUL = [
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b'{"text": ' + DEEP + b"}", b'{"text": NaN}', DEEP,
    b'{"text": ' + b"9" * 100_000 + b"}", b'{"text": 1e999}', b'{"text": "\\ud800', b"\x00" * 1000,
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model"), "bag")[0]


# The kernel's own figure counts from the start of this program; a parent's would be in wait4's.
PROGRAM = """
import sys, reviewmill
status = reviewmill.main(sys.argv[1:])
[line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(line.split()[1])
sys.exit(status)
"""


def score(model: Path, file: Path) -> tuple[int, str, int]:
    """Exit status, messages and the most memory in MB of a start."""
    out = str(file.parent / "out.jsonl")
    done = subprocess.run([sys.executable, "-c", PROGRAM, "score", str(model), str(file),
                           "--out", out], capture_output=True, text=True, cwd=ROOT)
    *lines, memory = done.stdout.splitlines()
    return done.returncode, "\n".join([*lines, done.stderr]), int(memory) >> 10


def test_harmful_json_lines_are_bad_and_the_others_are_scored(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(GOOD * 100 + b"\n".join(HARMFUL) + b"\n" + GOOD)
    status, output, memory = score(model, tmp_path / "in.jsonl")
    assert status == 0, output
    assert f"101 predictions for {101 + len(HARMFUL)} records" in output
    assert memory < MOST_MB


def test_a_gzip_bomb_takes_no_memory(model: Path, tmp_path: Path) -> None:
    blank = gzip.compress(b"\n" * (64 << 20), 1)
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(GOOD) + blank * 3)
    status, output, memory = score(model, tmp_path / "in.jsonl.gz")
    assert status == 0, output
    assert "1 predictions for 1 records" in output
    assert memory < MOST_MB


def test_a_zip_bomb_that_is_no_text_is_refused(model: Path, tmp_path: Path) -> None:
    with (zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as bomb,
          bomb.open("in.json", "w") as member):
        for _ in range(256):
            member.write(b"\0" * (1 << 20))
    status, output, memory = score(model, tmp_path / "in.zip")
    assert (status, output.count("\n")) == (2, 1)
    assert memory < MOST_MB

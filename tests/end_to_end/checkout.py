"""The checkout that the tests run in, copied and run as a user would."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.requirements import need

ROOT = Path(__file__).resolve().parents[2]
# What a user's shell has on its PATH after `. .venv/bin/activate`.
BIN = Path(sys.executable).parent


def tracked_files() -> list[str]:
    """Paths under version control, relative to the root, that are there."""
    git = shutil.which("git")
    need(git is not None and (ROOT / ".git").exists(), "a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def copy_checkout(target: Path) -> Path:
    """The tracked files alone, as a clone would have them, with what is not committed yet."""
    for name in tracked_files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    return target


def run(
    command: Sequence[str], folder: Path, timeout: float = 240, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; its exit status and texts. It finds our programs first."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout,
        env={**os.environ, "PATH": path, **(env or {})},
    )

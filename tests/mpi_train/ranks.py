"""Programs on several ranks, for tests."""

import os
import subprocess
import sys
from pathlib import Path

from cluster.mpirun import find_mpirun, mpirun_command
from reviews.errors import UserError
from tests.requirements import need

ROOT = Path(__file__).parents[2]


def run_ranks(
    ranks: int, *arguments: str | Path, timeout: int = 300
) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` on so many ranks, from the project's folder."""
    try:
        find_mpirun()
    except UserError as error:
        need(False, str(error))
    command = mpirun_command(ranks, [sys.executable, *map(str, arguments)])
    # What the user's own has stays: a machine may have packages there.
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, env=environment
    )

"""The ssh of a run whose hosts have this package at different paths.

mpirun calls it as it would call ssh, with options, host and command. The command names files of
the environment here; on a host with a Python of its own in the host file it gets the paths there.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PYTHONS = "REVIEWMILL_PYTHONS"  # environment variable: Python by host, as JSON
PYTHON, PREFIX = "REVIEWMILL_PYTHON", "REVIEWMILL_PREFIX"  # as ranks of such a host find them

# Start of a rank, before Python and its arguments: $0 is Python's path on most hosts.
START = (f'if [ "${PYTHON}" ]; then export OPAL_PREFIX="${PREFIX}" PMIX_PREFIX="${PREFIX}"; '
         f'exec "${PYTHON}" "$@"; fi; exec "$0" "$@"')


def translate(command: str, python: str, prefix: str) -> str:
    """The command for a host with that Python, in place of the environment below `prefix` here."""
    there = str(Path(python).parents[1])
    moved = re.sub(re.escape(prefix) + r"(?=[/:;\s\"']|$)", lambda _: there, command)
    return f"export {PYTHON}={shlex.quote(python)} {PREFIX}={shlex.quote(there)}; {moved}"


def main(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Become ssh: `[-o OPTION]... HOST COMMAND...`."""
    first = next(n for n in range(0, len(argv), 2) if argv[n] != "-o")
    options, host, command = argv[:first], argv[first], " ".join(argv[first + 1:])
    python = json.loads(environment[PYTHONS]).get(host)
    if python:
        command = translate(command, python, sys.prefix)
    os.execvp("ssh", ["ssh", *options, host, command])


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)

"""Commands of several kinds, each imported from its module when it is called."""

import importlib
from collections.abc import Mapping, Sequence

from reviews.errors import UserError
from reviews.options import near

# By name: the module whose main(argv) it is, and one line about it.
Commands = Mapping[str, tuple[str, str]]


def usage(prog: str, commands: Commands) -> str:
    """Usage, and one line for each command."""
    rows = "\n".join(f"  {name:<10} {text}" for name, (_, text) in commands.items())
    return f"usage: {prog} ...\n\n{rows}"


def dispatch(prog: str, what: str, commands: Commands, argv: Sequence[str]) -> int:
    """Run the command that argv begins with, or say which there are; return the exit status.

    Args:
        prog: how a command is called, such as `reviewmill bench STAGE`.
        what: what a command is, for the error that there is none of this name.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(usage(prog, commands))
        return 0
    name, *rest = argv
    if name not in commands:
        raise UserError(
            f"no {what} {name!r}{near(name, commands)}; there are {', '.join(commands)}")
    return int(importlib.import_module(commands[name][0]).main(rest))

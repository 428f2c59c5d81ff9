"""Commands of several kinds, each imported from its module when it is called."""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

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


# Signals that have a handler of this module.
_handled: set[int] = set()
# Whether Python would forget what a handler raises: it does so in a hook of a fork.
_in_hook = False


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, with all that it started, and then the
    process. A second signal ends the process at once.

    They end a fork of the process as if nobody handled them. Signals that are ignored (nohup) or
    handled already stay so, and a block inside of another one leaves them to that.
    """
    if _handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    came = 0

    def end(number: int, _: FrameType | None) -> None:
        nonlocal came
        if _in_hook:
            again = threading.Timer(0.01, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        if came:
            _end_by(number)
        came = number
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)
            _handled.add(number)
    try:
        yield
    finally:
        if came in _handled:
            if sys.stdout is not None:
                sys.stdout.flush()
            _end_by(came)
        _let_go()


def _end_by(number: int) -> None:
    """End this process by a signal that has a handler."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _let_go() -> None:
    for number in _handled:
        signal.signal(number, signal.SIG_DFL)
    _handled.clear()


def _hold() -> None:
    """Before a fork: Python forgets signals that reach one before it is ready for them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _handled)


def _go_on() -> None:
    global _in_hook
    _in_hook = True
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _handled)
    _in_hook = False


def _begin_fork() -> None:
    held = _handled.copy()
    _let_go()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


os.register_at_fork(before=_hold, after_in_parent=_go_on, after_in_child=_begin_fork)

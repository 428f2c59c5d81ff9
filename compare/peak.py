"""python compare/peak.py FILE COMMAND...: run a command, write its exit code and peak to FILE.

The peak is in KiB of resident memory, of the largest process. Linux counts the memory of the
process that starts another as that of the other, so it has to be started from a small one.
Standard input is a pipe of whoever waits for the command: its end, of whatever kind, ends both.
"""

import os
import select
import signal
import sys


def main() -> None:
    """Run the command; SIGTERM is passed on to it, Ctrl-C has reached it already."""
    file, *command = sys.argv[1:]
    signal.signal(signal.SIGINT, lambda *_: None)
    # Until the process is known to the handler, the signal waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    nothing = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    process = os.posix_spawn(command[0], command, os.environ, file_actions=nothing, setsigmask=[])
    signal.signal(signal.SIGTERM, lambda *_: os.kill(process, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    ended = os.pidfd_open(process)
    if ended not in select.select([sys.stdin.fileno(), ended], [], [])[0]:
        os.kill(process, signal.SIGTERM)
    _, status, usage = os.wait4(process, 0)
    with open(file, "w", encoding="ascii") as written:
        written.write(f"{os.waitstatus_to_exitcode(status)} {usage.ru_maxrss}")


if __name__ == "__main__":
    main()

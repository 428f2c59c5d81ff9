"""python compare/peak.py FILE COMMAND...: run a command, write its exit code and peak to FILE.

The peak is in KiB of resident memory, of the largest process. Linux counts the memory of the
process that starts another as that of the other, so it has to be started from a small one.
"""

import os
import signal
import sys


def main() -> None:
    """Run the command; SIGTERM is passed on to it, Ctrl-C has reached it already."""
    file, *command = sys.argv[1:]
    signal.signal(signal.SIGINT, lambda *_: None)
    # Until the process is known to the handler, the signal waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    process = os.posix_spawn(command[0], command, os.environ, setsigmask=[])
    signal.signal(signal.SIGTERM, lambda *_: os.kill(process, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _, status, usage = os.wait4(process, 0)
    with open(file, "w", encoding="ascii") as written:
        written.write(f"{os.waitstatus_to_exitcode(status)} {usage.ru_maxrss}")


if __name__ == "__main__":
    main()

"""A rank ends when another one is gone, when the one that started it is gone, or when it hangs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mpi_train.exchange import watchdog
from mpi_train.exchange.watchdog import ProcessIdentity, Watchdog, own_identity
from reviews.runtime.lifeline import Lifeline
from tests.mpi_train.ranks import ROOT, run_ranks
from tests.mpi_train.runs import arguments
from tests.stores import make_store

LIMIT_S = 90  # three times what is promised

# A process that watches another one, and would otherwise wait for ever.
WATCHES = """
import signal, sys
from mpi_train.exchange.watchdog import ProcessIdentity, Watchdog, own_identity
from reviews.runtime.lifeline import Lifeline
own = own_identity("host")
peer = ProcessIdentity("host", own.machine, int(sys.argv[1]), int(sys.argv[2]), own.boot)
watchdog = Watchdog([own_identity("host"), peer], 0, Lifeline({}, "host"))
watchdog.stall_s = float(sys.argv[3])
watchdog.start()
print("watching", flush=True)
signal.sigwait([signal.SIGUSR2])
"""


@pytest.fixture
def peer() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def identity_of(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    own = own_identity("host")
    with open(f"/proc/{process.pid}/stat") as file:
        started = int(file.read().rpartition(")")[2].split()[19])
    return replace(own, pid=process.pid, started=started)


def watcher(
    process: subprocess.Popen[bytes], stall_s: float = 1e9, parent: list[str] | None = None
) -> subprocess.Popen[str]:
    identity = identity_of(process)
    line = [*(parent or []), sys.executable, "-c", WATCHES, str(identity.pid),
            str(identity.started), str(stall_s)]
    started = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert started.stdout is not None
    assert started.stdout.readline() == "watching\n"
    return started


def test_a_process_is_told_from_a_later_one_of_its_number(
    peer: subprocess.Popen[bytes],
) -> None:
    identity = identity_of(peer)
    assert identity.state() in "SRD"
    assert replace(identity, started=identity.started - 1).state() == "Z"
    peer.kill()
    os.waitid(os.P_PID, peer.pid, os.WEXITED | os.WNOWAIT)
    assert identity.state() == "Z", "it has ended, though nobody has read its status"
    peer.wait()
    assert identity.state() == "Z"


def test_a_rank_that_lost_a_connection_waits_for_the_end_of_the_other(
    peer: subprocess.Popen[bytes],
) -> None:
    identity = identity_of(peer)
    watching = Watchdog([own_identity("host"), identity], 0, Lifeline({}, "host"))
    assert watching.lost() == watching.lost(0.1) == ""
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -9 {peer.pid}"])
    assert watching.lost(LIMIT_S) == f"rank 1 (process {peer.pid} on host) is gone"
    killer.wait()


def test_a_rank_ends_when_another_one_is_killed(peer: subprocess.Popen[bytes]) -> None:
    watches = watcher(peer)
    peer.kill()
    _, errors = watches.communicate(timeout=LIMIT_S)
    assert watches.returncode == 1
    assert errors == f"rank 0 ends: rank 1 (process {peer.pid} on host) is gone\n"


def test_a_rank_that_stands_still_ends_with_its_traceback_unless_another_one_is_stopped(
    peer: subprocess.Popen[bytes],
) -> None:
    os.kill(peer.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, peer.pid, os.WSTOPPED | os.WNOWAIT)
    watches = watcher(peer, stall_s=1.5)
    with pytest.raises(subprocess.TimeoutExpired):
        watches.communicate(timeout=6)
    os.kill(peer.pid, signal.SIGCONT)
    _, errors = watches.communicate(timeout=LIMIT_S)
    assert watches.returncode == 1
    assert errors.endswith("rank 0 ends: no progress for 0.025 minutes (--stall-minutes)\n")
    assert 'File "<string>", line 11 in <module>' in errors


def test_a_rank_ends_when_the_one_that_started_it_is_killed(
    peer: subprocess.Popen[bytes],
) -> None:
    # The shell prints nothing, and waits for the rank.
    watches = watcher(peer, parent=["sh", "-c", '"$@"; exit 7', "sh"])
    watches.kill()
    assert watches.stderr is not None
    # Standard error ends with the rank.
    said = watches.stderr.read()
    watches.wait(LIMIT_S)
    assert said == f"rank 0 ends: the process {watches.pid} that started it is gone\n"


def test_it_ends_though_nobody_reads_its_last_line(peer: subprocess.Popen[bytes]) -> None:
    watches = watcher(peer, parent=["sh", "-c", '"$@"; exit 7', "sh"])
    (rank,) = Path(f"/proc/{watches.pid}/task/{watches.pid}/children").read_text("ascii").split()
    assert watches.stdout is not None and watches.stderr is not None
    watches.stdout.close()
    watches.stderr.close()
    watches.kill()
    watches.wait(LIMIT_S)
    limit = time.monotonic() + LIMIT_S
    while Path(f"/proc/{rank}").exists():
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_without_proc_a_process_is_on_a_machine_of_its_own(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    here = own_identity("host")
    monkeypatch.setattr(watchdog, "_stat", lambda pid: None)
    alone = own_identity("host")
    assert alone.pid == here.pid
    assert alone.machine != here.machine
    assert str(alone.pid) in alone.machine


# Rank 1 hangs in its first update, outside of anything in which it would wait for others.
HANGS = """
import signal, sys
from mpi4py import MPI
import mpi_train.update
from mpi_train.__main__ import main
if MPI.COMM_WORLD.Get_rank() == 1:
    mpi_train.update.prefix_cost = lambda *_: signal.pause()
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_ends_when_one_rank_hangs_for_as_long_as_stall_minutes_says(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 100, "validation": 20})
    done = run_ranks(2, "-c", HANGS, *arguments(store, tmp_path / "run", stall_minutes=0.02),
                     timeout=LIMIT_S)
    assert done.returncode != 0
    assert "rank 1 ends: no progress for 0.02 minutes (--stall-minutes)" in done.stderr

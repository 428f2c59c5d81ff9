"""Launcher and ranks see each other's end, and only an end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reviews.runtime.lifeline import LAUNCHER, Lifeline, LifelineServer, end_daemon
from reviews.runtime.network import LOOPBACK

ROOT = Path(__file__).parents[3]
LIMIT_S = 30.0
# A rank that says the words it was given, and then waits.
RANK = """
import os, signal, sys
from reviews.runtime.lifeline import Lifeline
lifeline = Lifeline(os.environ, "host")
for word in sys.argv[1:]:
    lifeline.say(word)
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def server() -> Iterator[LifelineServer]:
    made = LifelineServer([LOOPBACK], 3)
    yield made
    made.close()


def rank(server: LifelineServer, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMPI_COMM_WORLD_RANK": "7",
                   LAUNCHER: server.environment}
    started = subprocess.Popen([sys.executable, "-c", RANK, *words], env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def wait_until(holds: Callable[[], object]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_rank_that_is_killed_is_lost_and_named(server: LifelineServer) -> None:
    victim = rank(server)
    victim.kill()
    victim.wait()
    wait_until(lambda: server.loss)
    assert server.loss is not None and not server.loss.silent
    assert server.loss.reason == f"rank 7 (process {victim.pid} on host) is gone"


@pytest.mark.parametrize("word", ["done", "failed"])
def test_ranks_that_go_after_one_has_ended_by_itself_are_no_loss(
    word: str, server: LifelineServer
) -> None:
    ends, other = rank(server, word), rank(server, "checkpoint")
    wait_until(lambda: server.checkpoint)
    for process in (ends, other):
        process.kill()
        process.wait()
    with rank(server, "checkpoint") as last:  # both ends have been seen by now
        assert server.loss is None
        last.kill()


def test_a_rank_that_is_stopped_for_longer_than_the_limit_is_not_lost(
    server: LifelineServer
) -> None:
    stopped = rank(server)
    stopped.send_signal(signal.SIGSTOP)
    time.sleep(5)  # the length of the stop, no waiting for anything
    assert server.loss is None
    stopped.send_signal(signal.SIGCONT)
    server.end()
    _, errors = stopped.communicate(timeout=LIMIT_S)
    assert (stopped.returncode, errors) == (3, "")


def test_a_rank_ends_with_its_launcher(server: LifelineServer) -> None:
    orphan = rank(server)
    server.close()
    _, errors = orphan.communicate(timeout=LIMIT_S)
    assert orphan.returncode == 3
    assert errors == f"rank 7 ends: its launcher on {socket.gethostname()} is gone\n"


def test_who_does_not_know_the_word_is_no_rank(server: LifelineServer) -> None:
    told = json.loads(server.environment)
    with socket.create_connection(tuple(told["places"][0])) as stranger:
        hello = {"word": "guess", "rank": 0, "pid": 1, "host": "elsewhere"}
        stranger.sendall((json.dumps(hello) + "\n").encode())
        assert stranger.recv(100) == b""
    assert server.loss is None


def test_without_a_launcher_a_lifeline_does_nothing() -> None:
    Lifeline({}, "host").say("done")


def test_only_mpiruns_daemon_is_ended_with_a_rank() -> None:
    with subprocess.Popen(["sleep", "1000"]) as other:
        end_daemon(other.pid)
        assert other.poll() is None
        other.kill()
    named = "import pathlib, sys, time; pathlib.Path('/proc/self/comm').write_text('prted'); " \
            "print(1, flush=True); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", named], stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None and daemon.stdout.readline()
        end_daemon(daemon.pid)
        assert daemon.wait(LIMIT_S) == -signal.SIGKILL

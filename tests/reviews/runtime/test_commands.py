"""Commands that are asked to end: what they started ends with them."""

import signal
import subprocess
import sys

import pytest

# A wait of one long call could begin between the arrival of a signal and Python's look at it.
START = """
import os, signal, time

def wait():
    end = time.monotonic() + 600
    while time.monotonic() < end:
        time.sleep(0.01)

AT_FIRST
from reviews.runtime.commands import ended_by_signals

if IGNORED:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
"""
WITH_A_FORK = """
with ended_by_signals():
    child = os.fork()
    if not child:
        time.sleep(600)
    try:
        os.write(1, b"ready\\n")
        wait()
    finally:
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        print("the fork ended with", os.waitstatus_to_exitcode(status))
"""
HANGS_IN_ITS_END = """
with ended_by_signals():
    try:
        os.write(1, b"ready\\n")
        wait()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        wait()
"""
WITH_ANOTHER_INSIDE = """
with ended_by_signals():
    with ended_by_signals():
        pass
    try:
        os.write(1, b"ready\\n")
        wait()
    finally:
        print("in order")
"""
# Hooks before a fork run in the reverse order: this one with the signal held back.
COMES_WITH_A_FORK = """
with ended_by_signals():
    child = os.fork()
    if not child:
        os._exit(0)
    try:
        wait()
    finally:
        print("in order")
"""
WAITS = """
with ended_by_signals():
    os.write(1, b"ready\\n")
    signal.sigwait([signal.SIGUSR1])
    print("went on")
"""


def ended(program: str, *numbers: int, ignored: bool = False,
          at_first: str = "") -> tuple[int, str]:
    """Status and output of a program that gets signals when it has said that it is ready."""
    start = START.replace("IGNORED", str(ignored)).replace("AT_FIRST", at_first)
    process = subprocess.Popen(
        [sys.executable, "-c", start + program],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    if numbers:
        assert process.stdout.readline() == "ready\n"
    for number in numbers:
        process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_in_order_and_its_forks_at_once(number: int) -> None:
    assert ended(WITH_A_FORK, number) == (-number, "the fork ended with -15\n")


def test_a_command_that_has_run_another_is_still_ended_in_order() -> None:
    assert ended(WITH_ANOTHER_INSIDE, signal.SIGTERM) == (-signal.SIGTERM, "in order\n")


def test_a_signal_that_comes_during_a_fork_is_not_forgotten() -> None:
    at_first = "os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGTERM))"
    assert ended(COMES_WITH_A_FORK, at_first=at_first) == (-signal.SIGTERM, "in order\n")


def test_a_second_signal_ends_a_command_that_hangs_in_its_end() -> None:
    assert ended(HANGS_IN_ITS_END, signal.SIGTERM) == (-signal.SIGTERM, "")


def test_an_ignored_hangup_stays_ignored() -> None:
    assert ended(WAITS, signal.SIGHUP, signal.SIGUSR1, ignored=True) == (0, "went on\n")

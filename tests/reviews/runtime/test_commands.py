"""Commands that are asked to end: what they started ends with them."""

import signal
import subprocess
import sys

import pytest

START = """
import os, signal, time
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
        os.waitpid(child, 0)
    finally:
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        print("the fork ended with", os.waitstatus_to_exitcode(status))
"""
HANGS_IN_ITS_END = """
with ended_by_signals():
    try:
        os.write(1, b"ready\\n")
        time.sleep(600)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)
"""
WITH_ANOTHER_INSIDE = """
with ended_by_signals():
    with ended_by_signals():
        pass
    try:
        os.write(1, b"ready\\n")
        time.sleep(600)
    finally:
        print("in order")
"""
WAITS = """
with ended_by_signals():
    os.write(1, b"ready\\n")
    signal.sigwait([signal.SIGUSR1])
    print("went on")
"""


def ended(program: str, *numbers: int, ignored: bool = False) -> tuple[int, str]:
    """Status and output of a program that gets signals when it has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", START.replace("IGNORED", str(ignored)) + program],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout and process.stdout.readline() == "ready\n"
    for number in numbers:
        process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_in_order_and_its_forks_at_once(number: int) -> None:
    assert ended(WITH_A_FORK, number) == (-number, "the fork ended with -15\n")


def test_a_command_that_has_run_another_is_still_ended_in_order() -> None:
    assert ended(WITH_ANOTHER_INSIDE, signal.SIGTERM) == (-signal.SIGTERM, "in order\n")


def test_a_second_signal_ends_a_command_that_hangs_in_its_end() -> None:
    assert ended(HANGS_IN_ITS_END, signal.SIGTERM) == (-signal.SIGTERM, "")


def test_an_ignored_hangup_stays_ignored() -> None:
    assert ended(WAITS, signal.SIGHUP, signal.SIGUSR1, ignored=True) == (0, "went on\n")

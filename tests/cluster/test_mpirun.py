"""The mpirun that is found, and its command line."""

import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from cluster.mpirun import find_mpirun, launch, mpirun_command
from reviews.errors import UserError

PYTHON = shlex.quote(sys.executable)


def program(path: Path, script: str = "", version: str = "some other MPI 1.0") -> Path:
    """A program in place of mpirun: says its version, else runs the script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    says = f'if [ "$1" = --version ]; then echo {shlex.quote(version)}; exit; fi'
    path.write_text(f"#!/bin/sh\n{says}\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python without an mpirun beside it, an empty PATH and no MPIRUN."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("MPIRUN", raising=False)
    return tmp_path


def test_mpirun_named_by_the_user_comes_first(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(elsewhere / "bin" / "mpirun")
    program(elsewhere / "path" / "mpirun")
    mine = program(elsewhere / "mine" / "mpiexec")
    monkeypatch.setenv("MPIRUN", str(mine))
    assert find_mpirun() == str(mine)


def test_a_name_in_mpirun_is_looked_up_on_the_path(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = program(elsewhere / "path" / "mpiexec.mine")
    monkeypatch.setenv("MPIRUN", "mpiexec.mine")
    assert find_mpirun() == str(found)


def test_the_mpirun_beside_python_comes_before_the_path(elsewhere: Path) -> None:
    on_path = program(elsewhere / "path" / "mpirun")
    assert find_mpirun() == str(on_path)
    beside = program(elsewhere / "bin" / "mpirun")
    assert find_mpirun() == str(beside)


def test_without_any_mpirun_the_user_reads_how_to_get_one(elsewhere: Path) -> None:
    with pytest.raises(UserError, match=r"no mpirun: pip install 'reviewmill\[train\]'"):
        find_mpirun()


def test_a_wrong_name_in_mpirun_is_told(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(elsewhere / "path" / "mpirun")
    monkeypatch.setenv("MPIRUN", "/nowhere/mpirun")
    with pytest.raises(UserError, match="MPIRUN names /nowhere/mpirun, which is not a program"):
        find_mpirun()


def test_open_mpi_is_told_not_to_bind_or_count_cores(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mpirun = program(elsewhere / "path" / "mpirun", version="mpirun (Open MPI) 5.0.8")
    command = mpirun_command(3, ["python", "-m", "x"])
    assert command[:3] == [str(mpirun), "-n", "3"]
    assert {"--oversubscribe", "--bind-to"} <= set(command)
    assert ("--allow-run-as-root" in command) == (os.geteuid() == 0)
    assert command[-3:] == ["python", "-m", "x"]


def test_another_mpi_gets_only_what_all_of_them_know(elsewhere: Path) -> None:
    mpirun = program(elsewhere / "path" / "mpirun")
    assert mpirun_command(2, ["a", "b c"]) == [str(mpirun), "-n", "2", "a", "b c"]


def test_a_host_file_takes_the_place_of_a_number_of_ranks(elsewhere: Path) -> None:
    mpirun = program(elsewhere / "path" / "mpirun")
    hosts = elsewhere / "hosts"
    hosts.write_text("localhost slots=2\n")
    assert mpirun_command(None, ["a"], str(hosts)) == [
        str(mpirun), "--hostfile", str(hosts), "a"]
    with pytest.raises(UserError, match=r"no host file .*nothing"):
        launch(None, ["a"], str(elsewhere / "nothing"))


def test_the_exit_status_of_the_ranks_is_that_of_the_start(elsewhere: Path) -> None:
    program(elsewhere / "path" / "mpirun", "exit 3")
    assert launch(2, ["whatever"]) == 3


def test_the_first_signal_asks_the_ranks_and_the_second_tells_mpirun(elsewhere: Path) -> None:
    """The started program signals this process, as a terminal would, and waits for its own."""
    before = signal.getsignal(signal.SIGTERM)
    waiting = (
        "import os, signal, sys\n"
        "both = [signal.SIGTERM, signal.SIGUSR1]\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, both)\n"
        "os.kill(int(sys.argv[1]), signal.SIGTERM)\n"
        "assert signal.sigwait(both) == signal.SIGUSR1\n"
        "os.kill(int(sys.argv[1]), signal.SIGTERM)\n"
        "assert signal.sigwait(both) == signal.SIGTERM\n"
        "sys.exit(7)\n"
    )
    program(elsewhere / "path" / "mpirun",
            f"exec {PYTHON} -c {shlex.quote(waiting)} {os.getpid()}")
    assert launch(2, ["whatever"]) == 7
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_in_a_terminal_does_not_reach_mpirun_beside_us(elsewhere: Path) -> None:
    program(elsewhere / "path" / "mpirun", f"exec {PYTHON} -c "
            "'import os, sys; sys.exit(os.getsid(0) == int(sys.argv[1]))' " + str(os.getsid(0)))
    assert launch(2, ["whatever"]) == 0

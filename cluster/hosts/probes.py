"""Probes of the hosts of a run: what each lacks, and which do not reach each other.

A probe is `cluster.hosts.probe` on each host, started by ssh as mpirun starts its daemons, so that
what would make mpirun hang or fail is found before, and named with its host.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cluster.hosts.hostfile import Host
from reviews.errors import UserError

# No questions, and an end to waiting.
SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
ANSWER_S = 120.0  # a host that starts Python from a slow disk needs some
MPI_SHARED_MEMORY = 16 << 20  # bytes of /dev/shm that MPI takes for a rank
CLOCKS_S = 5.0  # by which clocks may differ
# What ssh says, and what to do about it.
SSH_PROBLEMS = {
    "Could not resolve hostname": "its name does not resolve: correct it in the host file, or "
                                  "make it known by DNS or /etc/hosts",
    "IDENTIFICATION HAS CHANGED": "its host key is not the one in known_hosts: if the host was "
                                  "installed anew, run `ssh-keygen -R {name}` and ssh there once",
    "Host key verification failed": "its host key is not in known_hosts: ssh there once by hand",
    "Permission denied": "ssh is refused there: put your public key into its authorized_keys "
                         "(ssh-copy-id {name})",
    "Connection refused": "nothing answers ssh there: start its sshd",
    "timed out": "ssh gets no answer from there: it is off, or a firewall is closed",
    "No route to host": "ssh gets no answer from there: it is off, or a firewall is closed",
}


@dataclass
class HostReport:
    """Report of a probe on its host.

    Attributes:
        facts: answer of `cluster.hosts.probe.facts`, and the offer of its listener.
        clock_s: seconds by which its clock is ahead of this host's.
        addresses: for each other host, the address at which this one reaches it, or None.
    """

    host: Host
    facts: dict[str, Any]
    clock_s: float
    addresses: dict[str, str | None]


class Probe:
    """The program `cluster.hosts.probe` on a host, by ssh or, on this host, as a child."""

    def __init__(self, host: Host) -> None:
        self.host, self._python = host, host.python or sys.executable
        command = [self._python, "-P", "-m", "cluster.hosts.probe"]
        if path := os.environ.get("PYTHONPATH"):
            command = ["env", f"PYTHONPATH={path}", *command]
        if not host.is_local:
            command = ["ssh", *SSH_OPTIONS, host.name, shlex.join(command)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True)

    def ask(self, name: str, *arguments: Any) -> Any:
        """The answer to a request; UserError with the host where there is none."""
        assert self._process.stdin is not None and self._process.stdout is not None
        limit = threading.Timer(ANSWER_S, self._process.kill)
        limit.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps([name, arguments]) + "\n")
                self._process.stdin.flush()
            for line in self._process.stdout:
                with contextlib.suppress(ValueError):  # a host may greet
                    return json.loads(line)
        finally:
            limit.cancel()
        raise UserError(f"{self.host.name}: {self._problem()}")

    def _problem(self) -> str:
        """The reason why the program ended."""
        assert self._process.stderr is not None
        said = self._process.stderr.read()
        status = self._process.wait()
        if status == -signal.SIGKILL:
            return f"it gave no answer for {ANSWER_S:g} s"
        if status == 255:
            name = self.host.name
            for words, text in SSH_PROBLEMS.items():
                if words in said:
                    return text.format(name=name)
        if status in (126, 127):
            return (f"there is no {self._python}: install the same environment at this path, or "
                    f"name its Python in the host file: {self.host.name} python=PATH")
        if "No module named" in said or "cannot import name" in said:
            return (f"{self._python} has no reviewmill, or an older one: install version "
                    f"{_own_version()} there")
        last = (said.strip().splitlines() or ["no message"])[-1]
        return f"{self._python} could not be started there (status {status}): {last}"

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        self._process.kill()
        self._process.communicate()


def _own_version() -> str:
    from importlib.metadata import version

    return version("reviewmill")


@contextlib.contextmanager
def probes(hosts: Sequence[Host]) -> Iterator[list[Probe]]:
    """A probe on each host and on this one, which comes first, while the block runs."""
    if shutil.which("ssh") is None and not all(host.is_local for host in hosts):
        raise UserError("no ssh on this host: install OpenSSH's client")
    local = [host for host in hosts if host.is_local] or [Host(socket.gethostname())]
    others = [host for host in hosts if not host.is_local]
    started: list[Probe] = []
    try:
        for host in (*local[:1], *others):
            started.append(Probe(host))
        yield started
    finally:
        for probe in started:
            probe.close()


def in_parallel(probes: Sequence[Probe], name: str, *arguments: Sequence[Any]) -> list[Any]:
    """The answers of all probes to a request with each one's own arguments; an answer may be a
    UserError.
    """

    def ask(probe: Probe, own: Sequence[Any]) -> Any:
        try:
            return probe.ask(name, *own)
        except UserError as error:
            return error

    with ThreadPoolExecutor(len(probes)) as pool:
        every = [pool.submit(ask, probe, own)
                 for probe, own in zip(probes, zip(*arguments, strict=True), strict=True)]
        return [one.result() for one in every]


def examine(
    probes: Sequence[Probe], folder: str, interface: str = ""
) -> tuple[list[HostReport], list[str]]:
    """Reports of the hosts that answer, this one's first, and problems in one line each.

    Args:
        folder: where a run would write.
        interface: name of the only one to use; empty: any.
    """
    before = time.time()
    found = in_parallel(probes, "facts", [folder] * len(probes))
    after = time.time()
    problems = [str(answer) for answer in found if isinstance(answer, UserError)]
    # The start of the program lies between the request and its clock.
    reports = [HostReport(probe.host, facts, _clock_error(facts["clock"], before, after), {})
               for probe, facts in zip(probes, found, strict=True)
               if not isinstance(facts, UserError)]
    problems += [problem for report in reports for problem in _lacks(report, reports[0])]
    answering = [probe for probe, facts in zip(probes, found, strict=True)
                 if not isinstance(facts, UserError)]
    offers = {report.host.name: _at(interface, report.facts["offer"]) for report in reports}
    others = [{name: offer for name, offer in offers.items() if name != probe.host.name}
              for probe in answering]
    for report, addresses in zip(reports, in_parallel(answering, "reach", others), strict=True):
        report.addresses = addresses
        problems += [
            f"{name}: {report.host.name} reaches it by ssh alone, or not at all "
            f"({', '.join(port[1] for port in offers[name][1]) or 'it has no address'}): open the "
            "ports 1024 to 65535 between the hosts"
            for name, address in addresses.items() if address is None]
    return reports, problems


def _at(interface: str, offer: Sequence[Any]) -> list[Any]:
    """An offer at one interface, or the whole of it where none is named."""
    word, ports = offer
    return [word, [port for port in ports if interface in ("", port[0])]]


def _clock_error(clock: float, before: float, after: float) -> float:
    """Seconds that a clock is ahead for certain; 0 where the answer's delay explains it."""
    return max(0.0, clock - after) or min(0.0, clock - before)


def _lacks(report: HostReport, own: HostReport) -> list[str]:
    """Problems of one host: other versions than here, a full /dev/shm, a wrong clock."""
    facts, name = report.facts, report.host.name
    problems = [f"{name}: {package} is {facts['versions'][package]} there and {wanted} on "
                f"{own.host.name}: all hosts need the same"
                for package, wanted in own.facts["versions"].items()
                if facts["versions"][package] != wanted]
    ranks = report.host.slots or facts["cores"]
    free, needed = facts["shared_memory"], ranks * MPI_SHARED_MEMORY
    if free is not None and free < needed:
        problems.append(f"{name}: /dev/shm has {free / 1e6:.0f} MB free, and MPI needs "
                        f"{needed / 1e6:.0f} MB for {ranks} ranks: remove what is left there")
    if abs(report.clock_s) > CLOCKS_S:
        problems.append(f"{name}: its clock differs by {report.clock_s:+.0f} s from that of "
                        f"{own.host.name}: set it by NTP")
    return problems


@dataclass(frozen=True)
class Routes:
    """Ways by which hosts reach each other.

    Attributes:
        own: addresses of this host.
        networks: networks of all hosts' addresses, such as 10.0.0.0/24.
    """

    own: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


def check_hosts(hosts: Sequence[Host], folder: str, interface: str = "") -> Routes:
    """Routes between the hosts, at that interface if one is named.

    Raises UserError, one line that names the host, where a run on these hosts would fail.
    """
    with probes(hosts) as started:
        reports, problems = examine(started, folder, interface)
    if problems:
        more = f" (and {len(problems) - 1} more: reviewmill cluster check)"
        raise UserError(problems[0] + (more if len(problems) > 1 else ""))
    found = {(name, address) for report in reports for name, address in report.addresses.items()}
    networks = {report.facts["networks"][address] for report in reports
                for name, address in found if name == report.host.name}
    own = {address for name, address in found if name == reports[0].host.name}
    return Routes(tuple(sorted(map(str, own))), tuple(sorted(networks)))

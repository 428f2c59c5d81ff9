"""Hosts on this machine that are reached by ssh, as those of a cluster.

Each has network, UTS, IPC, PID and mount namespaces of its own, and in them an address, a name,
/dev/shm, a folder for temporary files ($TMPDIR), and sshd. Cables lead to a switch, a bridge in a
network namespace of its own. All see the disks of this machine, like hosts with a shared file
system.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import need

ROOT = Path(__file__).parents[1]
SSHD = "/usr/sbin/sshd"
UNSHARE = ("unshare", "--net", "--uts", "--ipc", "--pid", "--mount", "--fork", "--kill-child",
           "--mount-proc")
# As process 1, the shell takes up processes whose parents have ended.
START = """
set -e
mount --make-rprivate /
hostname "$1"
mount -t tmpfs -o size="$3" tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir /run/sshd /run/tmp
mount --bind "$2/ssh" /etc/ssh
mount --bind "$2/hosts" /etc/hosts
ip link set lo up
/usr/sbin/sshd
echo ready
while read -r line; do eval "$line"; echo ready; done
"""
SSHD_CONFIG = """
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/key.pub
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile /run/sshd.pid
SetEnv TMPDIR=/run/tmp
MaxStartups 100
"""
SSH_CONFIG = """
Host *
  IdentityFile /etc/ssh/key
  GlobalKnownHostsFile /etc/ssh/known_hosts
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking yes
"""


@dataclass(frozen=True)
class SshHost:
    """A host: its name, its address, and the process number of its first process."""

    name: str
    address: str
    pid: int
    folder: Path
    shell: subprocess.Popen[str]
    switch: int
    port: str

    def command(self, *words: str | Path) -> list[str]:
        """Words to put before a command to run it there."""
        return ["nsenter", "--target", str(self.pid), "--net", "--uts", "--ipc", "--pid", "--mount",
                f"--wdns={ROOT}", "--", "env", "TMPDIR=/run/tmp", *map(str, words)]

    def set_up(self, line: str) -> None:
        """Run a line of shell in the host's first process, whose mounts all others there see."""
        assert self.shell.stdin is not None and self.shell.stdout is not None
        self.shell.stdin.write(line + "\n")
        self.shell.stdin.flush()
        assert self.shell.stdout.readline() == "ready\n", line

    def network(self, *words: str) -> None:
        """Run a command of iproute2 or nftables in the host's network."""
        _run("nsenter", "--target", str(self.pid), "--net", *words)

    def connect(self, up: bool) -> None:
        """Plug the cable in, or out; the host itself does not notice."""
        _run("nsenter", "--target", str(self.switch), "--net", "ip", "link", "set", self.port,
             "up" if up else "down")

    def power_off(self) -> None:
        """End all processes of the host at once."""
        os.kill(self.pid, signal.SIGKILL)

    def processes(self) -> dict[int, str]:
        """Processes of the host beside its first one and those of sshd: command lines by number.
        """
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                numbers = next(line.split()[1:] for line in
                               (entry / "status").read_text().splitlines()
                               if line.startswith("NSpid:"))
                same = (entry / "ns/pid").readlink() == Path(f"/proc/{self.pid}/ns/pid").readlink()
                line = (entry / "cmdline").read_text().replace("\0", " ").strip()
                if same and numbers[-1] != "1" and line and not line.startswith("sshd: "):
                    found[int(entry.name)] = line
        return found


@contextmanager
def ssh_hosts(
    folder: Path, count: int, shm: str = "256m"
) -> Iterator[list[SshHost]]:
    """So many hosts while the block runs; a skip where the system does not let us.

    Args:
        folder: of keys and configuration.
        shm: size of each host's /dev/shm.
    """
    need(os.geteuid() == 0 and shutil.which("ip") is not None, "needs root and iproute2")
    need(os.path.exists(SSHD), "needs openssh-server")
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    need(tried.returncode == 0, f"no namespaces: {tried.stderr.strip()}")
    names = [f"mill-{letter}" for letter in "abcdefgh"[:count]]
    addresses = [f"10.78.{os.getpid() % 250}.{number}" for number in range(1, count + 1)]
    _write_configuration(folder, names, addresses)
    with ExitStack() as stack:
        switch = _start(stack, "unshare", "--net", "--kill-child", "--fork", "sh", "-c",
                        "ip link add switch type bridge && ip link set switch up && echo ready "
                        "&& cat")
        hosts = []
        for number, (name, address) in enumerate(zip(names, addresses, strict=True)):
            shell = _start(stack, *UNSHARE, "sh", "-c", START, "sh", name, str(folder / name), shm)
            host = SshHost(name, address, _child(shell), folder / name, shell, _child(switch),
                           f"port{number}")
            add_cable(host, "eth0", address, host.port)
            # All have an interface of the same address, as docker0 is.
            host.network("ip", "link", "add", "docker0", "type", "bridge")
            host.network("ip", "address", "add", "172.17.0.1/16", "dev", "docker0")
            host.network("ip", "link", "set", "docker0", "up")
            hosts.append(host)
        yield hosts


def add_cable(host: SshHost, interface: str, address: str, port: str) -> None:
    """Give a host an interface on the switch."""
    _run("ip", "link", "add", interface, "netns", str(host.pid), "type", "veth",
         "peer", "name", port, "netns", str(host.switch))
    _run("nsenter", "--target", str(host.switch), "--net", "ip", "link", "set", port,
         "master", "switch", "up")
    host.network("ip", "address", "add", f"{address}/24", "dev", interface)
    host.network("ip", "link", "set", interface, "up")


def shape(host: SshHost, rate: str) -> None:
    """Let a host send no faster than tc's words for a rate say: 20mbit, 1gbit."""
    burst = "1mb" if rate.endswith("gbit") else "32kbit"
    host.network("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate,
                 "burst", burst, "latency", "50ms")


def _write_configuration(folder: Path, names: Sequence[str], addresses: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _make_key(folder / "key")
    for name in names:
        (folder / name / "ssh").mkdir(parents=True)
        _make_key(folder / name / "ssh" / "host_key")
    known = "".join(
        f"{name},{address} {(folder / name / 'ssh/host_key.pub').read_text()}"
        for name, address in zip(names, addresses, strict=True))
    table = "127.0.0.1 localhost\n" + "".join(
        f"{address} {name}\n" for name, address in zip(names, addresses, strict=True))
    for name in names:
        ssh = folder / name / "ssh"
        for file in ("key", "key.pub"):
            shutil.copy(folder / file, ssh / file)
        (ssh / "known_hosts").write_text(known)
        (ssh / "ssh_config").write_text(SSH_CONFIG)
        (ssh / "sshd_config").write_text(SSHD_CONFIG)
        (folder / name / "hosts").write_text(table)


def _make_key(file: Path) -> None:
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file))


def _start(stack: ExitStack, *words: str) -> subprocess.Popen[str]:
    """A process that has said that it is ready, and is killed at the end."""
    started = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               cwd="/")

    def end() -> None:
        started.kill()
        started.communicate()

    stack.callback(end)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n", words
    return started


def _child(process: subprocess.Popen[str]) -> int:
    """The only child of a process, by its number on this machine."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(listed[0])


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"


def elsewhere(host: SshHost) -> str:
    """Move this Python environment to another path on one host; return its Python there."""
    need(sys.prefix != sys.base_prefix, "needs an environment of its own")
    host.set_up(f"mount -t tmpfs tmpfs /mnt; mkdir /mnt/mill; mount --bind {sys.prefix} /mnt/mill; "
                f"mount -t tmpfs tmpfs {sys.prefix}")
    return "/mnt/mill/bin/python"


def main() -> int:
    """Run `python -m tests.ssh_hosts RATE COMMAND...` on the first of two hosts, mill-a and mill-b,
    between which links have that rate."""
    rate, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, ssh_hosts(Path(folder), 2) as hosts:
        for host in hosts:
            shape(host, rate)
        return subprocess.run(hosts[0].command(*command), cwd=ROOT,
                              env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode


if __name__ == "__main__":
    sys.exit(main())

"""Two hosts on this machine: network and UTS namespaces with a cable between them.

Their names resolve to nothing, and both have an interface of the same address, as docker0 is.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.requirements import need

SHARED_ADDRESS = "172.17.0.1"


@dataclass(frozen=True)
class NetworkHost:
    """A host: what to put before a command to run it there, and its address."""

    name: str
    address: str
    namespace: str

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, "unshare", "-u", "sh", "-c",
                f'hostname {self.name}; exec "$@"', "sh", *words]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def network_hosts() -> Iterator[list[NetworkHost]]:
    """Two such hosts while the block runs; a skip where the system does not let us."""
    need(shutil.which("ip") is not None and os.geteuid() == 0, "needs root and iproute2")
    stem = f"rm{os.getpid()}"
    hosts = [NetworkHost(f"nobody-knows-{letter}", f"10.77.{os.getpid() % 250}.{number}",
                         f"{stem}{letter}") for number, letter in enumerate("ab", 1)]
    made: list[str] = []
    try:
        for host in hosts:
            try:
                _ip("netns", "add", host.namespace)
            except subprocess.CalledProcessError as error:
                need(False, f"no network namespaces: {error.stderr.decode().strip()}")
            made.append(host.namespace)
        _ip("link", "add", f"{stem}a", "netns", hosts[0].namespace, "type", "veth",
            "peer", "name", f"{stem}b", "netns", hosts[1].namespace)
        for host in hosts:
            inside = ("-n", host.namespace)
            _ip(*inside, "link", "set", "lo", "up")
            _ip(*inside, "address", "add", f"{host.address}/24", "dev", host.namespace)
            _ip(*inside, "link", "set", host.namespace, "up")
            _ip(*inside, "link", "add", "docker0", "type", "bridge")
            _ip(*inside, "address", "add", f"{SHARED_ADDRESS}/16", "dev", "docker0")
            _ip(*inside, "link", "set", "docker0", "up")
        yield hosts
    finally:
        for namespace in made:
            _ip("netns", "del", namespace)

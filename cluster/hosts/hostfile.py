"""Host files: the hosts of a run, as mpirun has them, and the Python of each."""

import codecs
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reviews.errors import UserError
from reviews.runtime.network import interfaces

PYTHON = "python"  # key that mpirun does not know


@dataclass(frozen=True)
class Host:
    """A line of a host file.

    Attributes:
        name: name or address, with the user before it where one is named (user@name).
        words: the rest of the line that mpirun reads, such as slots=4.
        python: Python of the environment that has this package there; empty: at the same path
            as here.
    """

    name: str
    words: tuple[str, ...] = ()
    python: str = ""

    @property
    def slots(self) -> int | None:
        """Number of ranks; None where mpirun takes the number of cores."""
        found = re.search(r"(?:^| )slots=(\d+)", " ".join(self.words))
        return int(found[1]) if found else None

    @property
    def is_local(self) -> bool:
        """True for this host itself."""
        name = self.name.rpartition("@")[2]
        try:
            addresses = {entry[4][0] for entry in socket.getaddrinfo(name, None, socket.AF_INET)}
        except OSError:
            return name == socket.gethostname()
        return bool(addresses & {one.address for one in interfaces()}) or any(
            str(address).startswith("127.") for address in addresses)


def read_hostfile(file: str) -> list[Host]:
    """The hosts of a file, which may have the BOM and the line ends of Windows.

    Raises UserError where there is no such file, no host in it, or a host twice.
    """
    try:
        data = Path(file).read_bytes()
    except OSError:
        raise UserError(f"no host file {file}") from None
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        raise UserError(f"{file} is no host file: it is not UTF-8") from None
    hosts: list[Host] = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words:
            hosts.append(_host(words))
    if not hosts:
        raise UserError(f"{file} has no hosts: give a line for each, as in `gpu01 slots=4`")
    names = [host.name for host in hosts]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{file} has {name} twice: give each host one line")
    return hosts


def _host(words: Sequence[str]) -> Host:
    name, colon, slots = words[0].partition(":")
    rest = [f"slots={slots}"] if colon else []
    python = ""
    for word in words[1:]:
        if word.startswith(f"{PYTHON}="):
            python = word.partition("=")[2]
        else:
            rest.append(word)
    return Host(name, tuple(rest), python)


def mpirun_lines(hosts: Sequence[Host]) -> str:
    """The hosts as mpirun reads them."""
    return "".join(" ".join((host.name, *host.words)) + "\n" for host in hosts)

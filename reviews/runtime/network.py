"""Network interfaces of this host, and attempts to reach those of others.

A random word tells a host from another one that answers at the same address.
"""

import ipaddress
import os
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
CONNECT_S = 3.0  # for one address; a firewall that drops packets says nothing
WORD_BYTES = 16
# linux/sockios.h, net/if.h
SIOCGIFADDR, SIOCGIFFLAGS, SIOCGIFNETMASK, IFF_UP = 0x8915, 0x8913, 0x891B, 1


@dataclass(frozen=True)
class Interface:
    """A network interface of this host with an IPv4 address."""

    name: str
    address: str
    speed: int  # Mb/s; 0 where the system does not say

    @property
    def is_loopback(self) -> bool:
        """True for addresses that only this host reaches."""
        return self.address.startswith("127.")

    def network(self) -> str:
        """The network of this interface of this host, such as 10.0.0.0/24."""
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
            request = struct.pack("256s", self.name.encode()[:15])
            mask = socket.inet_ntoa(fcntl.ioctl(asks, SIOCGIFNETMASK, request)[20:24])
        return str(ipaddress.ip_network(f"{self.address}/{mask}", strict=False))


def interfaces() -> list[Interface]:
    """Interfaces that are up, the fastest first, loopback last. Linux alone says this."""
    import fcntl

    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with suppress(OSError):  # no address of this kind
                flags = struct.unpack_from("H", fcntl.ioctl(asks, SIOCGIFFLAGS, request), 16)[0]
                answer = fcntl.ioctl(asks, SIOCGIFADDR, request)
                if flags & IFF_UP:
                    address = socket.inet_ntoa(answer[20:24])
                    found.append(Interface(name, address, _speed(name)))
    return sorted(found, key=lambda one: (one.is_loopback, -one.speed))


def _speed(name: str) -> int:
    try:
        return max(0, int(Path(f"/sys/class/net/{name}/speed").read_text("ascii")))
    except (OSError, ValueError):  # as for virtual ones
        return 0


class Listener:
    """Servers at some interfaces that say a word to everybody who connects, inside the block.

    Attributes:
        offer: the word, and name, address, speed and port of each interface.
    """

    def __init__(self, own: Sequence[Interface]) -> None:
        self._word = os.urandom(WORD_BYTES)
        self._sockets: list[socket.socket] = []
        ports = []
        for one in own:
            with suppress(OSError):
                self._sockets.append(socket.create_server((one.address, 0)))
                port = self._sockets[-1].getsockname()[1]
                ports.append((one.name, one.address, one.speed, port))
        self.offer = (self._word, ports)

    def __enter__(self) -> "Listener":
        for listening in self._sockets:
            threading.Thread(target=self._answer, args=(listening,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for listening in self._sockets:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # wakes the thread
            listening.close()

    def _answer(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    connection.sendall(self._word)


def hears(address: str, port: int, word: bytes) -> bool:
    """True where the server at this address says this word."""
    try:
        with socket.create_connection((address, port), CONNECT_S) as connection:
            connection.settimeout(CONNECT_S)
            return connection.recv(WORD_BYTES, socket.MSG_WAITALL) == word
    except OSError:
        return False

"""Connections between a launcher and the ranks that it started, by which each sees the other's end.

The kernels at both ends keep a connection alive, not the programs: they answer for a process that
is stopped, slow or busy. A process that ends closes its connection; a host that lost its power or
its network stops to answer, and after some seconds without an answer counts as lost. Nothing is
sent meanwhile but the kernels' own small packets (tcp(7), keepalive).
"""

import contextlib
import errno
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TextIO

LAUNCHER = "REVIEWMILL_LAUNCHER"  # environment variable: where the launcher listens, as JSON
LOST = 3  # exit status of a run that lost a host or a process
PROBE_S = 2  # between two packets of the kernel
CONNECT_S = 10.0
DONE, FAILED, CHECKPOINT, ACCEPTED, END = "done", "failed", "checkpoint", "accepted", "end"


def keep_alive(connection: socket.socket, limit_s: int) -> None:
    """Have the kernel end a connection whose other host has not answered for so many seconds."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    every = max(1, min(PROBE_S, limit_s // 3))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, every)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, every)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, max(1, limit_s // every - 1))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * limit_s)


@dataclass(frozen=True)
class Loss:
    """A rank that went without a word.

    Attributes:
        reason: one line that names its host.
        silent: True where its host stopped to answer; else its process is gone.
        at: time.monotonic() when it was noticed.
    """

    reason: str
    silent: bool
    at: float


class LifelineServer:
    """The launcher's end of the connections.

    Args:
        addresses: of this host, at which ranks reach it.
        limit_s: seconds without an answer after which a host is lost.

    Attributes:
        environment: value of the variable LAUNCHER for the ranks.
        loss: the first rank that was lost, or None.
        checkpoint: True when a rank, asked to end, has begun to write the last checkpoint.
        ended: True when a rank has said that it ends by itself.
        failed: True when a rank has said that it ends before its work is done.
    """

    def __init__(self, addresses: Sequence[str], limit_s: int) -> None:
        self._word, self._limit_s = os.urandom(16).hex(), limit_s
        self._sockets = [socket.create_server((address, 0)) for address in addresses]
        places = [one.getsockname()[:2] for one in self._sockets]
        self.environment = json.dumps({"host": socket.gethostname(), "word": self._word,
                                       "places": places, "limit_s": limit_s})
        self.loss: Loss | None = None
        self.checkpoint = False
        self.ended = self.failed = False
        self._lock = threading.Lock()
        self._ranks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        for one in self._sockets:
            threading.Thread(target=self._accept, args=(one,), daemon=True).start()

    def end(self) -> None:
        """Have all ranks end at once."""
        with self._lock:
            for rank in self._ranks:
                with contextlib.suppress(OSError):
                    rank.sendall(f"{END}\n".encode())

    def wait_for_ranks(self, limit_s: float) -> None:
        """Until all ranks have ended, at most so many seconds: `loss` is then about all of them."""
        limit = time.monotonic() + limit_s
        for thread in self._threads:
            thread.join(max(0.0, limit - time.monotonic()))

    def close(self) -> None:
        """Listen no more; ranks that are still there end."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes its thread
            one.close()
        with self._lock:
            for rank in self._ranks:
                with contextlib.suppress(OSError):
                    rank.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("r") as lines:
            connection.settimeout(CONNECT_S)
            try:
                hello = json.loads(lines.readline())
                name = f"rank {hello['rank']} (process {hello['pid']} on {hello['host']})"
                if hello["word"] != self._word:
                    return
                connection.sendall(f"{ACCEPTED}\n".encode())
            except (OSError, ValueError, KeyError, TypeError):  # somebody else
                return
            connection.settimeout(None)
            keep_alive(connection, self._limit_s)
            with self._lock:
                self._ranks.append(connection)
            self._listen(lines, name, str(hello["host"]))

    def _listen(self, lines: TextIO, name: str, host: str) -> None:
        loss = Loss(f"{name} is gone", False, 0.0)
        try:
            for line in lines:
                word = line.strip()
                self.checkpoint = self.checkpoint or word == CHECKPOINT
                self.failed = self.failed or word == FAILED
                self.ended = self.ended or word in (DONE, FAILED)
        except OSError as error:
            if error.errno != errno.ECONNRESET:
                loss = Loss(f"{host} has not answered for {self._limit_s} s, so that it, or its "
                            "network, is off", True, 0.0)
        # Whoever goes after another one has ended was ended by the launcher.
        if loss.silent or not self.ended:
            with self._lock:
                self.loss = self.loss or replace(loss, at=time.monotonic())


class Lifeline:
    """A rank's end of its connection; without a launcher that listens, every call does nothing.

    A thread ends this process, with status 3, when the launcher is lost, gone or says so.
    """

    def __init__(self, environment: Mapping[str, str], host: str) -> None:
        self._connection: socket.socket | None = None
        if LAUNCHER not in environment:
            return
        told = json.loads(environment[LAUNCHER])
        self._launcher, self._limit_s = told["host"], int(told["limit_s"])
        self._rank = environment.get("OMPI_COMM_WORLD_RANK", environment.get("PMI_RANK", "?"))
        hello = {"word": told["word"], "rank": self._rank, "pid": os.getpid(), "host": host}
        self._connection = self._connect(told["places"], hello)
        threading.Thread(target=self._watch, args=(self._connection,), name="lifeline",
                         daemon=True).start()

    def say(self, word: str) -> None:
        """Tell the launcher DONE, FAILED or CHECKPOINT."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.sendall(f"{word}\n".encode())

    def _connect(
        self, places: Sequence[tuple[str, int]], hello: Mapping[str, object]
    ) -> socket.socket:
        for address, port in places:
            with contextlib.suppress(OSError):
                connection = socket.create_connection((address, port), CONNECT_S)
                connection.sendall((json.dumps(hello) + "\n").encode())
                expected = f"{ACCEPTED}\n".encode()
                if connection.recv(len(expected), socket.MSG_WAITALL) == expected:
                    connection.settimeout(None)
                    keep_alive(connection, self._limit_s)
                    return connection
                connection.close()
        self._end(f"its launcher on {self._launcher} is not reached")

    def _watch(self, connection: socket.socket) -> None:
        try:
            said = connection.recv(len(END))
            reason = "" if said else f"its launcher on {self._launcher} is gone"
        except OSError:
            reason = f"{self._launcher} has not answered for {self._limit_s} s"
        self._end(reason)

    def _end(self, reason: str) -> NoReturn:
        if reason:
            with contextlib.suppress(OSError):  # what passes this on may be gone
                print(f"rank {self._rank} ends: {reason}", file=sys.stderr, flush=True)
        end_daemon(os.getppid())
        os._exit(LOST)


def end_daemon(pid: int) -> None:
    """End the daemon of mpirun that started this process on its host: without mpirun, it would
    wait for ever. Processes of other names are left alone."""
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip() == "prted":
            os.kill(pid, signal.SIGKILL)

"""Calls that come at their own times (open loop), or one behind another: a process of its own.

Reads a JSON object from standard input: port; core, to which it is pinned; seconds; bodies of calls
of /v1/score, taken in turn; and either rate (calls/s, Poisson arrivals of `seed`) or connections
(each of which has one call under way). Prints seconds of each answered call and statuses as JSON;
status 0 stands for a connection that failed. An open-loop call's seconds count from the time at
which it should have been sent.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PATIENCE_S = 60.0  # for answers after the last call


@dataclass
class Answers:
    """Seconds and HTTP statuses of the calls."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def to_json(self) -> str:
        """As the process prints it."""
        return json.dumps({"seconds": self.seconds, "statuses": self.statuses})


class Connection(asyncio.Protocol):
    """A connection that has one call under way at most."""

    def __init__(self, done: Callable[["Connection", int], None]) -> None:
        """done: is called with the status of each answer; 0 where the connection is lost."""
        self._done, self._received, self._calls = done, b"", False
        self._transport: Any = None
        self.sent_at = 0.0
        self.is_open = True  # servers close connections that have been idle for some seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be used."""
        self._transport = transport

    def send(self, request: bytes, sent_at: float) -> None:
        """Send a call, whose time counts from `sent_at`."""
        self.sent_at, self._calls = sent_at, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Parts of an answer."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._received, self._calls = b"", False
            self._done(self, int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has closed it, or the process ends."""
        self.is_open = False
        if self._calls:
            self._calls = False
            self._done(self, 0)


def request_of(body: str) -> bytes:
    """The bytes of a call."""
    data = body.encode()
    return (b"POST /v1/score HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(data)) + data


def take_open(idle: list[Connection]) -> Connection | None:
    """Take the connection that was used last, and drop those behind it that are closed."""
    while idle:
        if (connection := idle.pop()).is_open:
            return connection
    return None


async def open_loop(
    port: int, requests: list[bytes], rate: float, seconds: float, seed: int
) -> Answers:
    """Calls at random times, whatever becomes of those before."""
    loop, answers, idle = asyncio.get_running_loop(), Answers(), list[Connection]()
    random = np.random.default_rng(seed)
    gaps = random.exponential(1 / rate, int(2 * rate * seconds) + 100)
    arrivals = np.cumsum(gaps)
    arrivals = arrivals[arrivals < seconds].tolist()

    def done(connection: Connection, status: int) -> None:
        answers.statuses[status] += 1
        if status:
            answers.seconds.append(time.perf_counter() - connection.sent_at)
            idle.append(connection)

    async def call_anew(request: bytes, at: float) -> None:
        try:
            _, connection = await loop.create_connection(lambda: Connection(done), "127.0.0.1",
                                                         port)
        except OSError:
            answers.statuses[0] += 1
        else:
            connection.send(request, at)

    opening = set()
    started = time.perf_counter()
    for number, arrival in enumerate(arrivals):
        while time.perf_counter() < started + arrival:
            await asyncio.sleep(0)  # timers are late by up to a millisecond
        request = requests[number % len(requests)]
        if connection := take_open(idle):
            connection.send(request, started + arrival)
        else:
            task = loop.create_task(call_anew(request, started + arrival))
            opening.add(task)
            task.add_done_callback(opening.discard)
    end = time.perf_counter() + PATIENCE_S
    while answers.statuses.total() < len(arrivals) and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    answers.statuses[0] += len(arrivals) - answers.statuses.total()
    return answers


async def closed_loop(
    port: int, requests: list[bytes], connections: int, seconds: float
) -> Answers:
    """Calls of some connections, each after its last answer."""
    loop, answers = asyncio.get_running_loop(), Answers()
    end = time.perf_counter() + seconds
    left = connections
    finished = loop.create_future()

    def done(connection: Connection, status: int) -> None:
        nonlocal left
        now = time.perf_counter()
        answers.statuses[status] += 1
        if status:
            answers.seconds.append(now - connection.sent_at)
        if now < end and status:
            connection.send(requests[answers.statuses.total() % len(requests)], now)
        else:
            left -= 1
            if not left:
                finished.set_result(None)

    for number in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(done), "127.0.0.1", port)
        connection.send(requests[number % len(requests)], time.perf_counter())
    await finished
    return answers


def main() -> None:
    """Read the task, do it, print the answers."""
    task = json.load(sys.stdin)
    os.sched_setaffinity(0, [task["core"]])
    requests = [*map(request_of, task["bodies"])]
    if "rate" in task:
        running = open_loop(task["port"], requests, task["rate"], task["seconds"], task["seed"])
    else:
        running = closed_loop(task["port"], requests, task["connections"], task["seconds"])
    print(asyncio.run(running).to_json())


if __name__ == "__main__":
    main()

"""The generator of calls: it keeps its times, counts every call, and reports lost ones."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.service.generator import (
    Answers,
    Connection,
    closed_loop,
    open_loop,
    request_of,
    take_open,
)

Answer = Callable[[int], Awaitable[bytes]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 3\r\n\r\n{ }"


def against(answer: Answer, calls: Callable[[int], Awaitable[Answers]]) -> Answers:
    """Run calls against a server whose answer to call number n is given; b"" closes."""
    number = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.partition(b"Content-Length: ")[2].split()[0])
                await reader.readexactly(size)
                number += 1
                data = await answer(number)
                # In two pieces, as a network may bring them.
                writer.write(data[:20])
                await writer.drain()
                writer.write(data[20:])
                if not data:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def both() -> Answers:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await calls(server.sockets[0].getsockname()[1])

    return asyncio.run(both())


async def every_third_is_refused(number: int) -> bytes:
    return BUSY if number % 3 == 0 else OK


def test_open_loop_sends_at_its_rate_and_counts_statuses() -> None:
    found = against(every_third_is_refused, lambda port: open_loop(
        port, [request_of("{}")], rate=300, seconds=1, seed=0))
    total = found.statuses.total()
    assert 220 < total < 380  # Poisson: 300, give or take 17
    assert found.statuses[429] == total // 3
    assert found.statuses[0] == 0
    assert len(found.seconds) == total
    assert min(found.seconds) > 0


def test_open_loop_does_not_wait_for_answers() -> None:
    gate = asyncio.Event()

    async def answer(number: int) -> bytes:
        if number == 5:
            gate.set()
        await gate.wait()
        return OK

    found = against(answer, lambda port: open_loop(
        port, [request_of("{}")], rate=1000, seconds=0.05, seed=0))
    assert found.statuses[200] == found.statuses.total() > 5


def test_calls_whose_connection_is_lost_are_counted() -> None:
    async def answer(number: int) -> bytes:
        return b"" if number == 2 else OK

    found = against(answer, lambda port: open_loop(
        port, [request_of("{}")], rate=200, seconds=0.2, seed=1))
    assert found.statuses[0] == 1
    assert len(found.seconds) == found.statuses[200] == found.statuses.total() - 1


def test_a_connection_that_was_closed_while_idle_gets_no_other_call() -> None:
    first, second, third = (Connection(lambda *_: None) for _ in range(3))
    third.connection_lost(None)
    idle = [first, second, third]
    assert take_open(idle) is second
    assert idle == [first]
    first.connection_lost(None)
    assert take_open(idle) is None
    assert idle == []


@pytest.mark.parametrize("connections", [1, 3])
def test_closed_loop_has_one_call_under_way_on_each_connection(connections: int) -> None:
    most = now = 0

    async def answer(_: int) -> bytes:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1
        return OK

    found = against(answer, lambda port: closed_loop(
        port, [request_of("{}")], connections, seconds=0.3))
    assert most <= connections
    assert found.statuses[200] == len(found.seconds) == found.statuses.total() > connections

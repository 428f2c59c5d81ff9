"""The service under load: `reviewmill bench score --load`.

The server has one core, the generator of calls another. Capacity is what the server answers when
it always has a next call; the parts are open loop, with Poisson arrivals at 70, 90 and 300 % of it.
"""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reviews.errors import UserError

CLOSED = 4  # connections that keep the server busy
CAPACITY_S = 10.0  # of a measurement of capacity, at most
SAMPLE_S = 0.5  # between two looks at the server's memory


@dataclass(frozen=True)
class Load:
    """A server on this machine, and where its calls come from."""

    pid: int
    port: int
    core: int  # of the generator
    bodies: Sequence[str]  # JSON of calls

    def run(self, seconds: float, **how: float) -> tuple[np.ndarray, Counter[int]]:
        """Seconds of the answered calls and all statuses: `rate` and `seed`, or `connections`."""
        task: dict[str, Any] = {"port": self.port, "core": self.core, "seconds": seconds,
                                "bodies": [*self.bodies], **how}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.service.generator"], input=json.dumps(task),
            capture_output=True, text=True, cwd=Path(__file__).parents[2])
        if done.returncode:
            raise UserError(f"the generator of calls failed: {done.stderr.strip()[-300:]}")
        found = json.loads(done.stdout)
        statuses = Counter({int(status): n for status, n in found["statuses"].items()})
        return np.array(found["seconds"]), statuses

    def memory_mb(self) -> float:
        """Resident memory of the server, in units of 1e6 bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) * 1024 / 1e6


def load_lines(load: Load, seconds: Sequence[float]) -> Iterator[str]:
    """The figures, as lines: latency at 70 % of capacity, statuses at 90 and 300 %, memory, and
    the speed right after.

    seconds: of the parts at 70, 90 and 300 %.
    """
    short = min(CAPACITY_S, *seconds)
    alone = float(np.median(load.run(short, connections=1)[0]))
    capacity = _capacity(load, short)
    yield (f"capacity: {capacity:,.0f} calls/s on one core; a call alone takes "
           f"{1000 * alone:.2f} ms (p50)")
    latencies, statuses = load.run(seconds[0], rate=0.7 * capacity, seed=1)
    half, late = np.percentile(latencies, (50, 99))
    yield (f"at 70 % of capacity, Poisson arrivals, {seconds[0]:g} s: p50 {1000 * half:.2f} ms, "
           f"p99 {1000 * late:.2f} ms, {late / alone:.1f} calls' time alone; "
           f"{describe_statuses(statuses)}")
    _, statuses = load.run(seconds[1], rate=0.9 * capacity, seed=2)
    yield f"at 90 % of capacity, {seconds[1]:g} s: {describe_statuses(statuses)}"
    with _MemorySamples(load) as samples:
        latencies, statuses = load.run(seconds[2], rate=3 * capacity, seed=3)
    after = _capacity(load, 1.0)
    found = samples.found
    yield f"at 300 % of capacity, {seconds[2]:g} s: {describe_statuses(statuses)}"
    yield (f"memory of the server then: {found[0]:,.0f} MB at the start, "
           f"{found[len(found) // 4]:,.0f} MB after a quarter of the time, {found[-1]:,.0f} MB at "
           f"the end, {max(found):,.0f} MB at most")
    yield f"in the second after the last answer: {after / capacity:.0%} of capacity"


def _capacity(load: Load, seconds: float) -> float:
    """Calls/s of a server that always has a next one."""
    return load.run(seconds, connections=CLOSED)[1][200] / seconds


def describe_statuses(statuses: Counter[int]) -> str:
    """Statuses of calls, of which 0 is a call without an answer: shares of 200 and 429, and the
    numbers of all that must not be, though they are 0."""
    total = max(1, statuses.total())
    errors = sum(n for status, n in statuses.items() if status >= 500)
    others = total - statuses[200] - statuses[429] - errors - statuses[0]
    return (f"{total:,} calls: 200 {statuses[200] / total:.2%}, 429 {statuses[429] / total:.2%}, "
            f"5xx {errors}, others {others}, without an answer {statuses[0]}")


class _MemorySamples:
    """The server's memory over a block, in the order of time."""

    def __init__(self, load: Load) -> None:
        self._load, self._ends = load, threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.found: list[float] = []

    def __enter__(self) -> "_MemorySamples":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.found.append(self._load.memory_mb())
            if self._ends.wait(SAMPLE_S):
                return

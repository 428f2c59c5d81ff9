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
           f"p99 {1000 * late:.2f} ms, {late / alone:.1f} calls' time alone; {_shares(statuses)}")
    _, statuses = load.run(seconds[1], rate=0.9 * capacity, seed=2)
    yield f"at 90 % of capacity, {seconds[1]:g} s: {_shares(statuses)}"
    with _MemorySamples(load) as samples:
        latencies, statuses = load.run(seconds[2], rate=3 * capacity, seed=3)
    after = _capacity(load, 1.0)
    quarter, last = samples.found[len(samples.found) // 4], samples.found[-1]
    yield (f"at 300 % of capacity, {seconds[2]:g} s: {_shares(statuses)}; memory {quarter:,.0f} MB "
           f"after a quarter of the time, {last:,.0f} MB at the end")
    yield f"in the second after it: {after / capacity:.0%} of capacity"


def _capacity(load: Load, seconds: float) -> float:
    """Calls/s of a server that always has a next one."""
    return load.run(seconds, connections=CLOSED)[1][200] / seconds


def _shares(statuses: Counter[int]) -> str:
    total = max(1, statuses.total())
    shares = (f"{status or 'no answer'} {n / total:.2%}"
              for status, n in sorted(statuses.items()) if n)
    return f"{total:,} calls, " + ", ".join(shares)


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

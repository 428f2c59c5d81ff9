"""One split, which can only be read from front to back, on several cores."""

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from reviews.corpora import Part
from reviews.record import Block


class Taker(Protocol):
    """Receiver of a thread's blocks."""

    def add(self, block: Block) -> None:
        """Take a block."""

    def flush(self) -> None:
        """Write what is left, after the last block."""


def share_parts(parts: Generator[Part, None, None], takers: Sequence[Taker]) -> None:
    """Give the blocks of each part to one of the takers, each of which has a thread.

    A thread that is free inflates and cuts the next part while the others parse and tokenize
    theirs: kernels, inflating and Arrow leave Python's lock alone. The first error ends all.
    """
    reading = threading.Lock()

    def work(taker: Taker) -> None:
        try:
            while True:
                with reading:
                    part = next(parts, None)
                if part is None:
                    break
                for block in part():
                    taker.add(block)
            taker.flush()
        except BaseException:
            with reading:
                parts.close()
            raise

    if len(takers) == 1:
        work(takers[0])
        return
    with ThreadPoolExecutor(len(takers)) as pool:
        for done in [pool.submit(work, taker) for taker in takers]:
            done.result()

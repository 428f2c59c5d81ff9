"""Work that is done again and again beside a block."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(action: Callable[[], object], every_s: float) -> Iterator[None]:
    """A thread that calls `action` every so many seconds while the block runs, and has ended when
    it is left."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(every_s):
            action()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

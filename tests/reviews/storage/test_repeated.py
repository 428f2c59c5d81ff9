"""Work beside a block: done again and again, and no more behind it."""

import threading

import pytest

from reviews.storage.repeated import repeated


def test_it_is_done_again_and_again_until_the_block_is_left() -> None:
    times, often = 0, threading.Event()

    def count() -> None:
        nonlocal times
        times += 1
        if times == 3:
            often.set()

    with pytest.raises(KeyError), repeated(count, 0.001):
        assert often.wait(60)
        raise KeyError
    behind = times
    assert not any("go_on" in thread.name for thread in threading.enumerate())
    assert times == behind >= 3


def test_nothing_is_done_before_its_time() -> None:
    called = threading.Event()
    with repeated(called.set, 600):
        pass
    assert not called.is_set()

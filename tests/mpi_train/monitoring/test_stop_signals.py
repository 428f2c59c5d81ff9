"""A request to end is remembered once, as a number that ranks may send each other."""

import signal

import pytest

from mpi_train.exchange.message_codec import from_bytes, to_bytes
from mpi_train.monitoring.stop_signals import REQUESTS, StopSignals


@pytest.mark.parametrize("number", REQUESTS)
def test_the_first_request_is_remembered_and_sent_without_mpi(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as interruption:
        assert interruption.signal == 0
        signal.raise_signal(number)
        assert interruption.signal == number
        assert from_bytes(to_bytes(interruption.signal)) == number
        assert signal.getsignal(number) is before, "a second one has its usual effect"
    assert signal.getsignal(number) is before

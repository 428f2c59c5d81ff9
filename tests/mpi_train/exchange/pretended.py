"""Hosts that there are not, for ranks of one machine."""

from typing import Any

from mpi_train.exchange.communicator import Communicator


def pretend_hosts() -> None:
    """From now on, each two ranks are on a host of their own, as far as `--backend shm+gloo` goes.
    """
    connect = Communicator.connect

    def on_hosts(self: Communicator, *args: Any, **named: Any) -> None:
        self.machines = [f"host {rank // 2}" for rank in range(self.size)]
        connect(self, *args, **named)

    Communicator.connect = on_hosts  # type: ignore[method-assign]

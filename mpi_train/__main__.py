"""One rank of a training run: `mpirun -n N python -m mpi_train --store STORE --out RUN`."""

import atexit
import os
import platform
import sys
from collections.abc import Sequence

from reviews.runtime.openmp import WAITING
from reviews.runtime.quick_imports import lasting_imports, meta_kernels_later

os.environ.update({**WAITING, **os.environ})
# Else every rank warns of each peer whose address no name server knows.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

meta_kernels_later()
with lasting_imports():
    from mpi_train.configuration.config import TrainingConfig, make_training_parser
    from mpi_train.configuration.resolve import resolve
    from mpi_train.exchange.communicator import Communicator, Stopped
    from mpi_train.exchange.process_setup import lacking, prepare_process
    from mpi_train.train import train
    from reviews.errors import UserError
    from reviews.options import given
    from reviews.runtime.lifeline import DONE, FAILED, Lifeline


def main(argv: Sequence[str] | None = None) -> int:
    """Train; return the exit status: 3 when the loss stopped being a number.

    A signal that asks to end has the shell's status, 128 and its number.

    Raises UserError on rank 0, and SystemExit on the others, for a mistake the user can mend.
    """
    # MPI itself may wait for ever for a host that is gone.
    lifeline = Lifeline(os.environ, platform.node())
    atexit.register(lifeline.say, DONE)
    communicator = Communicator(lifeline=lifeline)

    def start() -> TrainingConfig:
        options = make_training_parser("python -m mpi_train").parse_args(argv)
        config = resolve(given(options, TrainingConfig), communicator.size)
        config.check_ranks(communicator.size)
        return config

    with communicator.together():
        config = communicator.from_root(start)
        communicator.watchdog.stall_s = 60 * config.run.stall_minutes
        prepare_process(config.run.threads, communicator.core_sharers, communicator.local_rank,
                        config.run.pin)
        communicator.connect(config.exchange.backend, config.exchange.interface,
                             config.run.device, memory=config.exchange.parallel != "fsdp")
        _check_exchange(config, communicator)
        try:
            train(config, communicator)
        except Stopped as stopped:
            lifeline.say(FAILED)
            return stopped.status
    return 0


def _check_exchange(config: TrainingConfig, communicator: Communicator) -> None:
    """Agree on a UserError where the hardware or the backend lacks what the options ask for."""
    problem = lacking(config, communicator.device, communicator.backend)
    if problem and communicator.size > 1:
        problem = f"{platform.node()}: {problem}"
    communicator.agree(problem)
    exchange = config.exchange.exchange
    if exchange != "full" and communicator.backend in ("mpi", "shm"):
        communicator.agree(f"--exchange {exchange} is for gradients that travel with gloo "
                           f"or nccl, and here the backend is {communicator.backend}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"python -m mpi_train: {error}", file=sys.stderr)
        sys.exit(2)

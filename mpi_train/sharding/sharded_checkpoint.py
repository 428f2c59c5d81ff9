"""Checkpoints of which every rank writes its part, and rank 0 the manifest when all are there."""

import platform
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from mpi_train.checkpoint import PendingCheckpoint
from mpi_train.exchange.communicator import Communicator
from mpi_train.train_state import TrainState
from reviews.errors import UserError
from reviews.run_folder import CONFIG
from reviews.storage.mirror import RunMirror


class ShardedCheckpointWriter:
    """Writes the checkpoints of a sharded run (CheckpointWriter); all ranks call each method.

    Training waits for a checkpoint, of which each rank writes 1/R at the same time.

    Raises UserError, on all ranks, where a rank does not see the run folder of rank 0.
    """

    def __init__(
        self, run: Path, kept: int, communicator: Communicator, mirror: RunMirror | None = None
    ) -> None:
        self._run, self._kept, self._mirror = run, kept, mirror
        self._communicator = communicator
        communicator.barrier()  # rank 0 has made it
        seen = (run / CONFIG).is_file()
        communicator.agree(None if seen else (
            f"{platform.node()} does not see {run} of rank 0: --parallel fsdp writes checkpoints "
            "from every rank, into a folder that all hosts see"))

    def write(
        self, state: TrainState, copy: Callable[[], Mapping[str, Mapping[str, Tensor]]]
    ) -> None:
        """Write step-NNNNNNNN, named by rank 0's state.step; UserError when it cannot be."""
        ranks, pending = self._communicator, PendingCheckpoint(self._run / "checkpoints",
                                                               state.step)

        def begin() -> None:
            with pending.written():
                pending.begin()

        def commit() -> None:
            with pending.written():
                pending.commit(state.to_json(), files, self._kept)
            if self._mirror is not None:
                self._mirror.put()

        ranks.from_root(begin)
        problem, own = None, {}
        try:
            with pending.written():
                own = pending.add(copy(), f"-{ranks.rank:05d}-of-{ranks.size:05d}")
        except UserError as error:
            problem = str(error)
        ranks.agree(problem)
        files = {name: digest for each in ranks.world.allgather(own)
                 for name, digest in each.items()}
        ranks.from_root(commit)

    def check(self) -> None:
        """Nothing: a checkpoint is there, or has ended the run."""

    def wait(self) -> None:
        """Nothing: a checkpoint is there, or has ended the run."""

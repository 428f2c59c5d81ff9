"""Run on 2 ranks: trainings that begin with too large a loss scale, and each again with the one
that it came to; then a replica whose rank 0 has another loss scale than rank 1.

Prints the state that rank 1 has in the end.
"""

import json
import sys
from pathlib import Path

import torch
from mpi4py import MPI

from models.nets import build
from models.records import make_options
from mpi_train.__main__ import main
from mpi_train.configuration.resolve import layered
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.group import Group
from mpi_train.monitoring.phase_timer import PhaseTimer
from mpi_train.replica import Replica
from tests.mpi_train.runs import records

for out, arguments in json.loads(sys.argv[1]).items():
    assert main([*arguments, f"--out={out}"]) == 0
    MPI.COMM_WORLD.Barrier()
    scale = int(records(Path(out), "step")[0]["loss_scale"])
    assert main([*arguments, f"--out={out}-again", f"--loss-scale={scale}"]) == 0

communicator = Communicator()
communicator.connect("gloo")
with communicator.together():
    config = layered({"model": "cnn", "precision": "fp16", "loss_scale": 64})
    model = build(make_options("cnn", dropout=0.0, vocabulary_size=9, padding=0, unknown=1))
    replica = Replica(config, model, Group(communicator), torch.device("cpu"), PhaseTimer())
    if communicator.rank == 0:
        replica.loss_scale.halve()
        replica.loss_scale.keep()
    replica.broadcast()
    states = communicator.world.allgather(replica.loss_scale.state())
if communicator.rank == 0:
    print(json.dumps(states[1]))
communicator.close()

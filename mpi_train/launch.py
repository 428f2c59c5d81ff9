"""`reviewmill train`: check the options, then start the ranks, here or by mpirun."""

import os
import sys
from collections.abc import Sequence

from cluster.mpirun import HOST_TIMEOUT_S, STOP_TIMEOUT_S, launch
from mpi_train.configuration.config import (
    TERMINAL,
    TrainingConfig,
    make_training_parser,
    to_arguments,
)
from mpi_train.configuration.resolve import layered, resolve
from reviews.errors import UserError
from reviews.options import Parser, given

# Ranks of one machine for each of its cores; more would end it before they had begun.
MOST_RANKS_PER_CORE = 64


def make_launch_parser() -> Parser:
    """Parser of the command: options of a training, and those of its launch."""
    parser = make_training_parser("reviewmill train", store_is_positional=True)
    parser.add_argument("--ranks", type=int, metavar="N", help="processes to train with")
    parser.add_argument(
        "--hostfile", metavar="FILE", help="hosts to train on, a line for each as mpirun has it "
        "(gpu01 slots=4); python=PATH names the Python of a host that has it elsewhere")
    parser.add_argument(
        "--host-timeout", type=int, metavar="SECONDS", default=HOST_TIMEOUT_S,
        help="seconds without an answer of a host after which it counts as lost and the run ends "
        f"({HOST_TIMEOUT_S})")
    parser.add_argument(
        "--stop-timeout", type=float, metavar="SECONDS", default=STOP_TIMEOUT_S,
        help="seconds from Ctrl-C or SIGTERM until all ranks are ended, unless the last checkpoint "
        f"is being written ({STOP_TIMEOUT_S:g})")
    return parser


def check_options(argv: Sequence[str]) -> str | None:
    """Message about options that are wrong whatever the store and the run folder, or None.

    SystemExit, with a line on standard error, for those that the parser refuses.
    """
    named = given(make_launch_parser().parse_args(argv), TrainingConfig)
    try:
        if not named.get("resume"):
            layered(named)
    except UserError as error:
        return f"reviewmill train: {error}"
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status of the ranks."""
    options = make_launch_parser().parse_args(argv)
    named = given(options, TrainingConfig)
    config = resolve(named)
    if options.ranks is not None and options.ranks < 1:
        raise UserError(f"--ranks is {options.ranks}: give 1 or more")
    cores = len(os.sched_getaffinity(0))
    if options.hostfile is None and (options.ranks or 1) > MOST_RANKS_PER_CORE * cores:
        raise UserError(f"--ranks is {options.ranks}: this machine has {cores} cores; give "
                        f"{MOST_RANKS_PER_CORE * cores} at most, or hosts with --hostfile")
    if options.host_timeout < 3:
        raise UserError(f"--host-timeout is {options.host_timeout}: give 3 seconds or more")
    if not options.stop_timeout > 0:
        raise UserError(f"--stop-timeout is {options.stop_timeout:g}: give more than 0 seconds")
    arguments = to_arguments(named)
    if options.ranks in (None, 1) and options.hostfile is None:
        config.check_ranks(1)
        from mpi_train.__main__ import main as train_here

        return train_here(arguments)
    if options.ranks is not None:
        config.check_ranks(options.ranks)
    # -P: a module of the user's in the current folder does not take the place of one of ours.
    command = [sys.executable, "-P", "-m", "mpi_train", *arguments]
    if sys.stderr.isatty():
        os.environ[TERMINAL] = "1"
    return launch(options.ranks, command, options.hostfile, config.exchange.interface,
                  options.host_timeout, options.stop_timeout)

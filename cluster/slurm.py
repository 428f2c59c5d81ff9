"""`reviewmill cluster slurm`: a batch script that trains, and goes on when it is requeued."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reviews.errors import UserError
from reviews.options import make_parser
from reviews.storage.files import absolute

TIME = re.compile(r"(\d+-)?\d+(:\d+){0,2}")  # sbatch(1): minutes, h:m:s, days-hours ...


@dataclass(frozen=True)
class Job:
    """A job of Slurm that trains on a store.

    Attributes:
        time: limit, as sbatch takes it; empty: that of the partition.
        notice_s: seconds before the limit at which the ranks are asked to end.
        seeds: one run for each, in an array of jobs; without any, one run.
        options: of `reviewmill train`, beside store, run folder and seed.
    """

    store: str
    out: str
    nodes: int
    ranks: int
    gpus: int
    time: str
    partition: str
    notice_s: int
    seeds: tuple[int, ...]
    options: tuple[str, ...]

    def script(self) -> str:
        """The batch script."""
        name = "%A_%a" if self.seeds else "%j"
        directives = [
            "job-name=reviewmill", f"nodes={self.nodes}", f"ntasks-per-node={self.ranks}",
            *([f"gpus-per-node={self.gpus}"] if self.gpus else []),
            *([f"time={self.time}"] if self.time else []),
            *([f"partition={self.partition}"] if self.partition else []),
            *([f"array=0-{len(self.seeds) - 1}"] if self.seeds else []),
            f"output=reviewmill-{name}.log", "open-mode=append", "requeue",
            f"signal=USR1@{self.notice_s}"]
        out, seed = shlex.quote(self.out), ""
        lines = ["#!/bin/bash", *(f"#SBATCH --{directive}" for directive in directives), ""]
        if self.seeds:
            lines += [f"seeds=({' '.join(map(str, self.seeds))})",
                      "seed=${seeds[$SLURM_ARRAY_TASK_ID]}", ""]
            out, seed = f"{out}/seed-$seed", " --seed $seed"
        options = "".join(f" {shlex.quote(word)}" for word in self.options)
        return "\n".join([
            *lines,
            "# Slurm asks the ranks to end by SIGUSR1 before the limit, and by SIGTERM for another",
            "# job: they write a checkpoint, and this script waits for it.",
            "trap : TERM",
            "# The same line starts the run, and goes on with it after a requeue.",
            "srun --mpi=none --kill-on-bad-exit=1 \\",
            f"  {shlex.quote(sys.executable)} -P -m mpi_train --store {shlex.quote(self.store)} "
            f"--out {out}{seed} --resume{options}",
            "status=$?",
            "# 128 + SIGUSR1 or SIGTERM: the work is not done.",
            "if [ $status -eq 138 ] || [ $status -eq 143 ]; then",
            "  scontrol requeue \"$SLURM_JOB_ID\"",
            "fi",
            "exit $status", ""])


def main(argv: Sequence[str]) -> int:
    """Write the script; say how to submit it."""
    parser = make_parser(
        "reviewmill cluster slurm", "Write a batch script for Slurm that trains on a store. What "
        "follows -- are options of `reviewmill train`.")
    parser.add_argument("store", metavar="STORE", help="store to train on")
    parser.add_argument("--out", required=True, metavar="RUN",
                        help="run folder; with --seeds a folder of them")
    parser.add_argument("--script", default="train.sbatch", metavar="FILE",
                        help="script to write (train.sbatch)")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="number of nodes (1)")
    parser.add_argument("--ranks-per-node", type=int, default=1, metavar="N",
                        help="number of ranks of each node (1)")
    parser.add_argument("--gpus-per-node", type=int, default=0, metavar="N",
                        help="number of GPUs of each node (0)")
    parser.add_argument("--time", default="", help="time limit as sbatch takes it, such as 4:00:00")
    parser.add_argument("--partition", default="", metavar="NAME", help="partition")
    parser.add_argument("--notice", type=int, default=120, metavar="SECONDS", help="seconds before "
                        "the time limit at which the last checkpoint is asked for (120)")
    parser.add_argument("--seeds", default="", metavar="S,S,...",
                        help="seeds of an array of runs, as 0,1,2")
    words = list(argv)
    cut = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:cut])
    for flag, value, least in (("--nodes", options.nodes, 1), ("--notice", options.notice, 1),
                               ("--ranks-per-node", options.ranks_per_node, 1),
                               ("--gpus-per-node", options.gpus_per_node, 0)):
        if value < least:
            raise UserError(f"{flag} is {value}: give {least} or more")
    if options.time and not TIME.fullmatch(options.time):
        raise UserError(f"--time is {options.time}: give minutes, or hours:minutes:seconds")
    if options.seeds and not re.fullmatch(r"\d+(,\d+)*", options.seeds):
        raise UserError(f"--seeds is {options.seeds}: give whole numbers, as 0,1,2")
    seeds = tuple(map(int, options.seeds.split(","))) if options.seeds else ()
    job = Job(absolute(options.store), absolute(options.out), options.nodes,
              options.ranks_per_node, options.gpus_per_node, options.time, options.partition,
              options.notice, seeds, tuple(words[cut + 1:]))
    Path(options.script).write_text(job.script(), "utf-8")
    os.chmod(options.script, 0o755)
    print(f"sbatch {shlex.quote(options.script)}")
    return 0

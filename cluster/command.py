"""`reviewmill cluster`: clusters started, watched and ended, and what they cost."""

from collections.abc import Sequence

from reviews.runtime.commands import dispatch

KINDS = {
    "spark": ("cluster.spark", "start or stop: a Spark of this machine alone"),
    "gpu": ("cluster.gpu.command", "plan, up, run, list or down: GPU clusters on EC2"),
    "emr": ("cluster.emr_command", "create, status, terminate or setup: clusters of AWS EMR"),
    "cost": ("cluster.cost_command", "what such a cluster costs"),
    "slurm": ("cluster.slurm", "a batch script for Slurm, requeued until the run is done"),
    "check": ("cluster.hosts.check_command", "the hosts of a host file, and the links between"),
}


def main(argv: Sequence[str]) -> int:
    """Run a command; return the exit status."""
    return dispatch("reviewmill cluster KIND", "kind of cluster", KINDS, argv)

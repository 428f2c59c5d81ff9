"""Runs the mrjob jobs on a runner and returns what they put out."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrjob.job import MRJob
from mrjob.step import StepFailedException

from reviews.errors import UserError

RUNNERS = ("inline", "local")


def run_job(
    job: type[MRJob], inputs: Sequence[Path], options: Sequence[str], runner: str, workers: int
) -> list[tuple[Any, Any]]:
    """Run one job; return its (key, value) pairs, in no particular order."""
    # On one machine mrjob makes its tasks by the number of cores.
    arguments = ["-r", runner, "--no-conf", "--quiet", "--num-cores", str(workers),
                 *options, *map(str, inputs)]
    instance = job(arguments)
    try:
        with instance.make_runner() as running:
            running.run()
            return list(instance.parse_output(running.cat_output()))
    except StepFailedException as error:
        raise UserError(f"{job.__name__} failed on the runner {runner}: {error}") from None


def log_to_stderr(verbose: bool) -> None:
    """mrjob's own messages: none, unless asked for; what it raises says enough."""
    logging.basicConfig(format="%(message)s", level=logging.INFO if verbose else logging.ERROR)
    if not verbose:
        logging.getLogger("mrjob").setLevel(logging.CRITICAL)

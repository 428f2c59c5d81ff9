"""Training rates of instance types: measured by a run, or given."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from cluster.costs import numbers_by_type
from reviews.errors import UserError
from reviews.run_folder import read_records

WARM_UP = 10  # updates that do not count: kernels are compiled, memory is found


def parse_rates(given: Sequence[str], measured: Sequence[str]) -> dict[str, float]:
    """Reviews a second of one instance, by type.

    Args:
        given: TYPE=REVIEWS_PER_S.
        measured: TYPE=RUN, the folder of a run on one instance of this type.
    """
    rates = numbers_by_type(
        "--rate", given, "TYPE=REVIEWS_PER_SECOND of one instance, such as g5.xlarge=20000")
    for text in measured:
        kind, equals, run = text.partition("=")
        if not kind or not equals:
            raise UserError(f"--measured {text}: give TYPE=RUN, the folder of a run on one "
                            "instance of the type")
        rates[kind] = measured_rate(run)
    return rates


def measured_rate(run: str) -> float:
    """Reviews a second of a run: the median of its updates, without the first ones."""
    if not Path(run, "metrics.jsonl").is_file():
        raise UserError(f"{run} is no run folder: it has no metrics.jsonl")
    rates = [record["reviews_per_s"] for record in read_records(Path(run))
             if record is not None and record["kind"] == "step"]
    if len(rates) <= WARM_UP:
        raise UserError(f"{run} has {len(rates)} updates: more than {WARM_UP} are needed for a "
                        "rate")
    return float(statistics.median(rates[WARM_UP:]))

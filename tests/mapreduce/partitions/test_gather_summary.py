"""The summary of job 1, as the driver hands it to the tasks of the later jobs."""

from pathlib import Path

import numpy as np
import pytest

from mapreduce.job_lines import PartitionLine, write_pairs
from mapreduce.partitions.gather_summary import GatherSummary
from mapreduce.partitions.histogram import Histogram
from reviews.errors import UserError
from reviews.recipe import Recipe


def line(seed: int) -> PartitionLine:
    """Line of a partition of 200 rows of two labels."""
    keys = np.random.default_rng(seed).integers(0, 2**64, (2, 100), np.uint64, endpoint=False)
    return {
        "kind": "partition", "file": f"{seed}.parcels", "offset": 0, "length": 9, "common": "",
        "rows": 200, "histograms": {str(i): Histogram.of(keys[i]).encode() for i in range(2)},
        "given": [200, 0, 0], "given_splits": [200, 0, 0],
        "counts": {"read": 210, "bytes": 9000}, "bad": {"not_json": 10},
        "examples": [{"path": "a.json", "line": seed, "reason": "not_json"}],
        "seen": [1.0, 7.5, None], "empty": ["nothing.json"], "errors": [],
    }


def test_a_summary_that_was_written_is_that_of_the_lines(tmp_path: Path) -> None:
    lines = [line(seed) for seed in range(3)]
    recipe = Recipe()
    made = GatherSummary.of(lines, recipe)
    assert made.cuts.starts[0][2] == 2**64  # more than 64 bits
    pairs = write_pairs(tmp_path / "output", list(enumerate(lines)))
    short = made.write(tmp_path / "summary")
    assert GatherSummary.read(pairs, recipe) == GatherSummary.read(short, recipe) == made
    assert short.stat().st_size < pairs.stat().st_size / 5


@pytest.mark.parametrize("content", ["summary\t{}", "summary\t{", "0\t[]", "0\t{"])
def test_another_file_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_text(content + "\n")
    with pytest.raises(UserError, match="not the output of gather_reviews"):
        GatherSummary.read(tmp_path / "other", Recipe())

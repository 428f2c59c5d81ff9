"""`bench resume`: twenty killed runs, each of which goes on, beside unbroken ones."""

from pathlib import Path
from statistics import median

import pytest

from benchmarks.resume import Outcome, compare, report
from reviews.generate import generate

PROMISE = 1.25  # times the seconds of an unbroken run, in the median


def test_the_table_has_both_kinds_and_how_much_longer_a_killed_run_took() -> None:
    unbroken = [Outcome(seconds, None, "a") for seconds in (10, 20, 12)]
    killed = [Outcome(15, 5.0, "a"), Outcome(12, 1.0, "a"), Outcome(13.8, 11.0, "a")]
    lines = report(unbroken, killed).splitlines()
    assert [line.split()[-4:] for line in lines[1:3]] == [
        ["3", "10.0", "12.0", "20.0"], ["3", "12.0", "13.8", "15.0"]]
    assert lines[3] == "+15% in the median; all stores are the same"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_killed_runs_go_on_and_make_the_same_store(tmp_path: Path) -> None:
    """The time is limited here against runs that hang; docs/resume.md has the figures."""
    files = generate(tmp_path / "reviews.json", 200_000, files=8)
    unbroken, killed = compare(list(map(str, files)), tmp_path / "store", 20, 2)
    assert len(killed) == 20 and all(run.killed_at is not None for run in killed)
    usual = median(run.seconds for run in unbroken)
    assert median(run.seconds for run in killed) < 3 * PROMISE * usual

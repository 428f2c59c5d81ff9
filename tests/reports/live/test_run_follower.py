"""A run is read on as it grows, and anew when a resume went back."""

import json
from pathlib import Path

import pytest

from reports.live.run_follower import RunFollower
from tests.reports.runs import make_run, step_records


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of 5 epochs of 39 updates, half of them done."""
    return make_run(tmp_path / "run", finished=False, evaluated=False)


def test_no_more_than_what_is_new_is_read_and_a_torn_line_waits_for_its_end(run: Path) -> None:
    follower = RunFollower(run)
    follower.read()
    (record,) = step_records(1, first=98)
    line = json.dumps(record).encode() + b"\n"
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(line[:40])
        file.flush()
        follower.read()
        assert follower.step == 97
        file.write(line[40:])
    follower.read()
    assert follower.step == 98


def test_a_resume_that_goes_back_is_followed(run: Path) -> None:
    follower = RunFollower(run)
    follower.read()
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(b"".join(lines[:30]))
    follower.read()
    assert follower.step == 30


@pytest.mark.parametrize(("log", "most", "total"), [
    ("39,936 reviews, 1,039 updates an epoch", 0, 5 * 1039),
    ("9 reviews, 39 updates an epoch\\n9 reviews, 41 updates an epoch", 0, 5 * 41),
    ("9 reviews, 39 updates an epoch", 50, 50), ("", 0, None)])
def test_the_number_of_updates_is_that_of_the_latest_start(
    log: str, most: int, total: int | None, run: Path
) -> None:
    (run / "log.txt").write_text(log)
    config = (run / "config.yaml").read_text().replace("max_steps: 0", f"max_steps: {most}")
    (run / "config.yaml").write_text(config)
    assert RunFollower(run).total() == total

"""`reviewmill bench scaling`: measured counts, simulated ones, and a page."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import reviewmill
from benchmarks.scaling.command import checks, in_order, lines_of
from benchmarks.scaling.points import Point
from reports.studies.scaling import read_scaling
from tests.requirements import need

SMALL = ["--reviews", "2000", "--batch-size", "64", "--updates", "4"]


@pytest.fixture
def cores() -> int:
    found = len(os.sched_getaffinity(0))
    need(found > 1, "two cores")
    return found


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[str, dict[str, Any]]:
    """Printed text of the command, and its JSON."""
    assert reviewmill.main(["bench", "scaling", *SMALL, "--json", *map(str, words)]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    [found] = [json.loads(line) for line in lines if line.startswith("{")]
    return shown, found


@pytest.mark.soak
def test_counts_beyond_the_cores_are_simulated_and_marked(
    cores: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beyond = 4 * cores
    out = tmp_path / "scaling"
    shown, found = run(capsys, "--stages", "train", "--nodes", f"1,{beyond}", "--out", out)
    points = {(point["law"], point["nodes"]): point for point in found["points"]}
    assert list(points) == [("strong", 1), ("strong", beyond), ("weak", 1), ("weak", beyond)]
    for (law, nodes), point in points.items():
        assert point["measured"] == (nodes == 1)
        assert point["reviews"] == 2000 * (nodes if law == "weak" else 1)
        assert point["speed_up"] == pytest.approx(
            point["reviews_per_s"] / points[law, 1]["reviews_per_s"])
        assert point["latency_s"] > 0
    assert points["strong", 1]["cpu_percent"][0] > 0
    assert points["strong", 1]["memory_bytes"][0] > 50e6
    # Of two measured counts the second is there to find the exchange by, and to check.
    assert {(check["law"], check["nodes"]) for check in found["checks"]} == {
        ("strong", 1), ("strong", 2), ("weak", 1), ("weak", 2)}
    assert found["amdahl"] == []
    assert "simulated seconds of train where they are measured too: " in shown
    assert read_scaling(out) == found
    assert "simulated" in (out / "scaling.html").read_text()


@pytest.mark.soak
def test_all_stages_are_measured_and_simulated(
    cores: int, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, found = run(capsys, "--nodes", f"1,2,{4 * cores}")
    for stage in ("prepare", "train", "score"):
        own = [point for point in found["points"] if point["stage"] == stage]
        assert [point["measured"] for point in own] == [True, True, False] * 2
        assert all(point["cpu_percent"] for point in own if point["measured"])
        # The rest of the machine may be busy; the order of magnitude is held.
        off = [check["simulated_s"] / check["measured_s"] for check in found["checks"]
               if check["stage"] == stage]
        assert off and all(0.2 < ratio < 5 for ratio in off)
    assert shown.count("measured") >= 12


def test_the_table_has_the_columns_of_which_there_are_figures() -> None:
    point = Point("train", "strong", 2000, 1, 2000, 4.0, 0.25, True, [98.7], [2e8])
    cells = ["train", "strong", "2,000", "1", "measured", "4.0", "500", "250.0", "1.00", "100%",
             "99", "200"]
    header, row = lines_of(in_order([point])).splitlines()
    assert row.split() == cells and "GPU" not in header
    with_gpu = Point(**{**vars(point), "gpu_percent": [80.0], "gpu_memory_bytes": [3e9]})
    header, row = lines_of(in_order([with_gpu])).splitlines()
    assert row.split() == [*cells, "80", "3,000"] and "GPU MB" in header


def test_the_rate_of_scoring_is_not_checked_against_itself() -> None:
    own = [Point("score", "strong", 10, n, 10, 8 / n, 0.1, True) for n in (1, 2)]
    [check] = checks(own, [Point("score", "strong", 10, n, 10, 6 / n, 0.1, False)
                           for n in (1, 2, 4)])
    assert (check["nodes"], check["measured_s"], check["simulated_s"]) == (1, 8, 6)


@pytest.mark.parametrize(("words", "said"), [
    (["--nodes", "2,4"], "--nodes begins with 1"),
    (["--nodes", "1,x"], "--nodes 1,x: give whole numbers"),
    (["--nodes", "1,512"], "numbers up to 256"),
    (["--reviews", "10"], "--reviews 10: give numbers of 2000 or more"),
    (["--updates", "0"], "--batch-size and --updates 1 or more"),
    (["--stages", "cook"], "cook"),
])
def test_a_mistake_is_one_line_before_anything_runs(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = reviewmill.main(["bench", "scaling", *words])
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2
    assert said in capsys.readouterr().err

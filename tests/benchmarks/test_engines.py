"""`reviewmill bench engines` compares the engines that are here, and names those that are not."""

import re

import pytest

import reviewmill
from benchmarks.engines import Engine, Run, report, why_absent


def test_every_engine_that_is_here_has_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    monkeypatch.setenv("HADOOP_BIN", "/nowhere/hadoop")
    assert reviewmill.main(["bench", "engines", "--reviews", "200", "--runners", "local",
                            "hadoop"]) == 0
    shown = capsys.readouterr().out
    assert "200 generated reviews on 1 worker, in 4 .gz files, and 400 in 8 on 2" in shown
    number, share = r"[\d.,]+", r"(\d+|nan)%"
    row = [number, number, number, rf"({number}|nan)", share, number, number, share]
    assert re.search(rf"^local +{' +'.join(row)}$", shown, re.MULTILINE)
    for run in ("start", "1 worker", "2 workers"):
        assert re.search(rf"^local +{run}( +[\d.]+){{4}}$", shown, re.MULTILINE)
    assert "hadoop: HADOOP_BIN names /nowhere/hadoop, which is not a program" in shown


def test_an_engine_without_java_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert why_absent("spark") != ""
    assert why_absent("inline") == ""


def test_rates_without_the_start_are_shares_of_that_of_local() -> None:
    def engine(name: str, start: float, one: float) -> Engine:
        jobs = {"gather": 1.0, "count": 0.5, "encode": 0.25}
        return Engine(name, Run(start, jobs), Run(one, jobs), Run(2 * one, jobs))

    shown = report([engine("local", 1, 11), engine("hadoop", 60, 80)], 1000)
    assert re.search(r"^local .* 100 +100% ", shown, re.MULTILINE)
    assert re.search(r"^hadoop .* 50 +50% ", shown, re.MULTILINE)
    # What is no job of the engine is the driver's.
    assert re.search(r"^hadoop +start +1.0 +0.5 +0.2 +58.2$", shown, re.MULTILINE)

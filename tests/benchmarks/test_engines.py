"""`reviewmill bench engines` compares the engines that are here, and names those that are not."""

import re

import pytest

import reviewmill
from benchmarks.engines import why_absent


def test_every_engine_that_is_here_has_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    monkeypatch.setenv("HADOOP_BIN", "/nowhere/hadoop")
    assert reviewmill.main(["bench", "engines", "--reviews", "200", "--runners", "local",
                            "hadoop"]) == 0
    shown = capsys.readouterr().out
    assert "200 generated reviews on 1 worker, in 4 .gz files, and 400 in 8 on 2" in shown
    assert re.search(r"^local +[\d.]+ +[\d.]+ +[\d,]+ +[\d.]+ +[\d,]+ +\d+%$", shown, re.MULTILINE)
    assert "hadoop: HADOOP_BIN names /nowhere/hadoop, which is not a program" in shown


def test_an_engine_without_java_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert why_absent("spark") != ""
    assert why_absent("inline") == ""

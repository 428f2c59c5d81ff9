"""A Spark of this machine is started and stopped by a command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import reviewmill
from cluster.spark import LocalSpark, Process, main
from reviews.errors import EngineError, UserError
from tests.requirements import need


def test_a_spark_that_does_not_run_is_not_stopped(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no Spark of .* is running"):
        main(["stop", "--folder", str(tmp_path / "spark")])
    with pytest.raises(UserError, match="--workers is 0"):
        main(["start", "--workers", "0"])


def test_stop_takes_no_options_of_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["stop", "--workers", "3"])
    assert stop.value.code == 2
    assert "unknown argument --workers" in capsys.readouterr().err


def test_a_process_is_known_by_its_start_and_not_by_its_number_alone() -> None:
    own = Process.of(os.getpid())
    assert own.is_running()
    assert own.start is not None
    assert not own._replace(start=own.start + 1).is_running()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        other = Process.of(child.pid)
        assert other.is_running()
        child.communicate(b"\n")
    assert not other.is_running()


def test_clusters_are_kinds_of_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert reviewmill.main(["cluster"]) == 0
    assert "spark" in capsys.readouterr().out
    assert reviewmill.main(["cluster", "sparc"]) == 2
    assert "no kind of cluster 'sparc'; did you mean spark?" in capsys.readouterr().err


def test_a_spark_without_java_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="Spark needs Java"):
        LocalSpark(tmp_path / "spark").start()


def test_what_a_spark_that_ends_at_once_said_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(shutil.which("java") is not None, "Spark needs java")
    program = tmp_path / "spark-class"
    program.write_text("#!/bin/sh\necho the disk is on fire\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("cluster.spark._spark_class", lambda: str(program))
    with pytest.raises(EngineError, match=r"did not start; .*master\.log ends in: the disk is on"):
        LocalSpark(tmp_path / "spark").start()
    assert not LocalSpark(tmp_path / "spark").running()

"""The runner dask: the same store, from tasks of Dask, beside which its report lies."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import reviewmill
from mapreduce.engines.dask import REPORT
from reviews.store import Store
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews
from tests.requirements import need


@pytest.fixture(scope="module", autouse=True)
def dask_is_there() -> None:
    need(importlib.util.find_spec("distributed") is not None, "distributed is not installed")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three files with duplicates across them, for three map tasks."""
    top = tmp_path_factory.mktemp("corpus")
    rows = make_reviews(3000)
    return [write_reviews(top / f"{i}.json", rows[i::3] + rows[:50]) for i in range(3)]


@pytest.fixture(scope="module")
def expected(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    with small_partitions():
        return bytes_of(run(inputs, tmp_path_factory.mktemp("inline") / "store"))


@contextlib.contextmanager
def small_partitions() -> Iterator[None]:
    """Several partitions, and so several reducers, of a small corpus."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapreduce.prepare.PARTITION_BYTES", 100_000)
        yield


def same(store: Store, expected: dict[str, bytes]) -> bool:
    made = bytes_of(store)
    assert REPORT in made
    return {name: data for name, data in made.items() if name != REPORT} == expected


@pytest.fixture(scope="module")
def made(
    inputs: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Store:
    """A store from two workers of this machine."""
    with small_partitions():
        return run(inputs, tmp_path_factory.mktemp("dask") / "store", runner="dask", workers=2)


def test_the_store_is_that_of_every_other_runner(made: Store, expected: dict[str, bytes]) -> None:
    assert len(made.manifest["files"]) > 4
    assert same(made, expected)


def test_the_report_of_dask_lies_beside_the_store_and_is_no_part_of_it(
    made: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    report = (made.path / REPORT).read_text()
    assert all(part in report for part in ("Task Stream", "Worker Profile", "Bandwidth"))
    assert REPORT not in made.manifest["files"]
    assert reviewmill.main(["inspect", str(made.path), "--verify"]) == 0
    assert json.loads((made.path / "prepare.json").read_text())["runner"] == "dask"


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Dask elsewhere: a scheduler and two workers that do not find the checkout."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "cache").mkdir()
    program = (
        "import logging, sys\n"
        "from distributed import LocalCluster\n"
        "if __name__ == '__main__':\n"
        "    with LocalCluster(n_workers=2, threads_per_worker=1, host='127.0.0.1',\n"
        "                      dashboard_address=None) as cluster:\n"
        "        print(cluster.scheduler_address, flush=True)\n"
        "        sys.stdin.read()\n"
    )
    (folder / "cluster.py").write_text(program)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["REVIEWMILL_CACHE"] = str(folder / "cache")
    process = subprocess.Popen(
        [sys.executable, "cluster.py"], cwd=folder, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin and process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(timeout=60)


def test_workers_elsewhere_get_the_package_and_a_killed_one_is_replaced(
    inputs: list[str], expected: dict[str, bytes], scheduler: str, tmp_path: Path
) -> None:
    from distributed import Client, WorkerPlugin

    flag = str(tmp_path / "killed")

    class Killer(WorkerPlugin):  # known to no other module, so that it travels as a whole
        """Kills the worker in which the first map task starts."""

        def transition(self, key: str, start: str, finish: str, **_: Any) -> None:
            if finish == "executing" and "GatherReviews-map" in str(key):
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
                    os.kill(os.getpid(), signal.SIGKILL)

    with Client(scheduler) as client:
        client.register_plugin(Killer())
    with small_partitions():
        store = run(inputs, tmp_path / "store", runner="dask", scheduler=scheduler, workers=None)
    assert Path(flag).exists()
    assert same(store, expected)
    with Client(scheduler) as client:
        def found() -> str:
            import mapreduce

            return str(mapreduce.__path__[0])

        assert all("/cache/" in path for path in client.run(found).values())


def test_the_file_that_cannot_be_read_is_named_though_a_worker_read_it(
    scheduler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bad := tmp_path / "bad.json").write_text('{"reviewText": "a", "overall": 5}\n' + "{\n" * 9)
    out = tmp_path / "store"
    assert reviewmill.main(["prepare", str(bad), "--out", str(out), "--runner", "dask",
                            "--scheduler", scheduler]) == 2
    assert "records cannot be read" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("address", "status", "message"), [
    ("nonsense", 2, "--scheduler is nonsense: give tcp://HOST:PORT"),
    ("tcp://127.0.0.1:1", 3, "no Dask scheduler answers at tcp://127.0.0.1:1"),
])  # fmt: skip
def test_a_scheduler_that_is_not_there_is_told(
    address: str, status: int, message: str, inputs: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mapreduce.engines.dask.CONNECT_S", 1)
    assert reviewmill.main(["prepare", *inputs, "--out", str(tmp_path / "store"),
                            "--runner", "dask", "--scheduler", address]) == status
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_dask_the_user_reads_how_to_get_it(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert reviewmill.main(["prepare", *inputs, "--out", str(tmp_path / "store"),
                            "--runner", "dask"]) == 2
    assert "distributed is not installed; pip install 'reviewmill[dask]'" in (
        capsys.readouterr().err)

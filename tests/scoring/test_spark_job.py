"""Scoring on a real Spark of two workers: the rows of the local engine, whatever happens."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import reviewmill
from reviews.corpora import InputSplit, plan_splits
from reviews.generate import generate
from reviews.recipe import Recipe
from scoring import load
from scoring.score import ScoreOptions, score_files
from scoring.spark.tasks import count_records
from tests.mapreduce.engines.clusters import running_spark
from tests.scoring.bundles import TEXTS, make_bundle

ROOT = Path(__file__).resolve().parents[2]
PAUSE_S = 0.02  # between two looks: the cluster needs the cores
pytestmark = pytest.mark.timeout(600)  # what a cluster takes on a busy machine


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model"), "views", layers=1,
                       description={"temperature": 1.7})[0]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a Spark, and the folder of its processes."""
    folder = tmp_path_factory.mktemp("spark")
    with running_spark(folder) as address:
        yield address, folder


def files_of(folder: Path) -> list[str]:
    """Files with nulls, empty texts, bad records, one row, and none that is good; before them
    some that take a while."""
    folder.mkdir()
    for number in range(4):
        generate(folder / f"0-{number}.json.gz", 6000)
    texts: list[list[object]] = [[*TEXTS, None, ""], ["tea"], [None], *([TEXTS] * 9)]
    for number, some in enumerate(texts):
        (folder / f"{number:02d}.jsonl").write_text(
            "".join(json.dumps({"text": text}) + "\n" for text in some) + "{broken\n")
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(folder / "many.parquet", schema) as writer:
        for _ in range(3):
            writer.write_table(pa.table({"text": [*TEXTS, None]}, schema))
    pq.write_table(schema.empty_table(), folder / "none.parquet")
    return [str(folder)]


def line(model: Path, inputs: list[str], out: Path, master: str) -> list[str]:
    return ["score", str(model), *inputs, "--out", str(out), "--engine", "spark",
            "--spark-master", master, "--spark-conf", "spark.app.name=reviews",
            "--spark-conf", "spark.executor.memory=512m"]


def executors(folder: Path) -> list[int]:
    """Processes of executors whose work folders lie in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and folder in Path(os.readlink(entry / "cwd")).parents \
                    and b"CoarseGrainedExecutorBackend" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended
    return found


def test_rows_are_those_of_the_local_engine_though_an_executor_is_killed(
    model: Path, cluster: tuple[str, Path], tmp_path: Path
) -> None:
    address, folder = cluster
    inputs = files_of(tmp_path / "in")
    local = score_files(str(model), inputs, str(tmp_path / "local"), ScoreOptions(), {})
    out = tmp_path / "spark"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "reviewmill", *line(model, inputs, out, address)],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=log)
    running: list[int] = []
    while process.poll() is None and len(running) < 2:
        running = executors(folder)
        time.sleep(PAUSE_S)
    while process.poll() is None and not list(out.glob("part-*")):
        time.sleep(PAUSE_S)
    assert process.poll() is None, (tmp_path / "log").read_text()
    os.kill(running[0], signal.SIGKILL)
    shown, _ = process.communicate()
    assert process.returncode == 0, (tmp_path / "log").read_text()
    assert "Lost executor" in (tmp_path / "log").read_text()
    processes = loads(folder)
    assert len(processes) == len(set(processes)) <= 3  # of 17 tasks, one executor was lost
    assert any("-Xmx512M" in log.read_text() for log in folder.glob("worker-*.log"))
    found, wanted = pq.read_table(out), pq.read_table(tmp_path / "local")
    assert found.schema.names == wanted.schema.names
    for name in ("file", "record", "label", "n_words", "n_cut"):
        assert found[name].to_pylist() == wanted[name].to_pylist()
    for name in ("probability_negative", "probability_positive"):
        np.testing.assert_allclose(found[name].to_numpy(), wanted[name].to_numpy(),
                                   rtol=0, atol=1e-5)
    assert f"{local.scored:,} predictions for {local.records:,} records" in shown
    assert (out / "_SUCCESS").exists()


def test_records_of_splits_add_up_to_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"text": "tea {n}"}}\n{{broken\n' for n in range(500)))
    splits = plan_splits([str(path)], Recipe(), split_bytes=3000)
    assert len(splits) > 3
    assert sum(count_records(split, Recipe()) for split in splits) == 1000
    table = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["tea"] * 50}), table, row_group_size=20)
    assert [count_records(InputSplit(str(table), first, count, "parquet"), Recipe())
            for first, count in ((0, 2), (2, 1), (0, -1))] == [40, 10, 50]


@pytest.mark.parametrize(("more", "said"), [
    ((), "--engine spark needs --spark-master"),
    (("--spark-master", "spark://x:1", "--resume"), "are for --engine local"),
    (("--spark-master", "local[1]", "--spark-conf", "x"), "give spark.KEY=VALUE"),
    (("--spark-master", "local[1]", "--files-per-batch", "1"), "is for --stream"),
])
def test_mistakes_are_one_line(
    model: Path, tmp_path: Path, more: tuple[str, ...], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "tea"}\n')
    start = ["score", str(model), str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out")]
    assert reviewmill.main([*start, "--engine", "spark", *more]) == 2
    assert said in capsys.readouterr().err
    for option in (("--spark-conf", "spark.a=b"), ("--stream", "follow")):
        assert reviewmill.main([*start, *option]) == 2
        assert "are for --engine spark" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "tea"}\n')
    master = "spark://127.0.0.1:1"
    assert reviewmill.main(
        line(model, [str(tmp_path / "in.jsonl")], tmp_path / "out", master)) == 3
    assert f"Spark cannot be reached at {master}: " in capsys.readouterr().err


def loads(cluster: Path) -> list[str]:
    """Process of every load of a model, over all executors that the cluster has had."""
    logs = [path.read_text() for path in cluster.glob("worker-*/app-*/*/stderr")]
    return re.findall("model loaded by process ([0-9]+)", "".join(logs))


def test_spark_submit_runs_it_with_its_own_master_and_settings(
    model: Path, cluster: tuple[str, Path], tmp_path: Path
) -> None:
    address, folder = cluster
    (tmp_path / "in").mkdir()
    for number in range(6):
        (tmp_path / "in" / f"{number}.jsonl").write_text(
            "".join(json.dumps({"id": f"{number}-{place}", "text": text}) + "\n"
                    for place, text in enumerate(TEXTS)))
    earlier = loads(folder)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("spark-submit")), "--master", address,
         "--conf", "spark.executor.memory=600m", str(ROOT / "scoring" / "spark_job.py"),
         str(model), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--key-field", "id"],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable})
    assert done.returncode == 0, done.stderr
    assert f"{6 * len(TEXTS)} predictions" in done.stdout
    found = pq.read_table(tmp_path / "out")
    assert found["key"].to_pylist() == [f"{number}-{place}" for number in range(6)
                                        for place in range(len(TEXTS))]
    wanted = load(str(model))(TEXTS).probabilities[:, 1]
    np.testing.assert_allclose(found["probability_positive"].to_numpy(), np.tile(wanted, 6),
                               rtol=0, atol=1e-5)
    logs = [path.read_text() for path in folder.glob("worker-*.log")]
    assert any("-Xmx600M" in log for log in logs)
    now = loads(folder)[len(earlier):]
    assert 1 <= len(now) <= 2  # a load in each executor, for six tasks

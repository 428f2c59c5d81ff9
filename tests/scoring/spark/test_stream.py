"""A folder that is followed: every review is there once for any reader, whatever is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

import reviewmill
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.storage.folders import fetch_folder, put
from scoring.decision import Decision
from scoring.files import Tally
from scoring.spark.stream import Batches
from scoring.spark.tasks import Job, Task
from tests.mapreduce.engines.clusters import running_hadoop
from tests.requirements import need
from tests.scoring.bundles import TEXTS, make_bundle

ROOT = Path(__file__).resolve().parents[3]
PAUSE_S = 0.02  # between two looks: the stream needs the cores
MASTER = "local[2,4]"  # two cores of this machine, and four attempts of a task
SOURCES, OFFSETS, COMMITS = (f"_checkpoint/{name}/[0-9]*" for name in
                             ("sources/0", "offsets", "commits"))
PLANS, PARTS = "_batches/[0-9]*", "part-*"
pytestmark = pytest.mark.timeout(600)  # what starts of Java take on a busy machine


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need(shutil.which("java") is not None, "Spark needs java")
    return make_bundle(tmp_path_factory.mktemp("model"), "bag")[0]


class Source:
    """A folder that files of reviews are renamed into, and the keys of all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys = folder / "in [new]", set[str]()
        self.folder.mkdir()

    def add(self, files: int, age_s: float = 0) -> None:
        """Some more files, some seconds old."""
        for _ in range(files):
            first = len(self.keys)
            keys = [f"{number}" for number in range(first, first + len(TEXTS))]
            written = self.folder.with_name("written")
            written.write_text("".join(json.dumps({"id": key, "text": text}) + "\n"
                                       for key, text in zip(keys, TEXTS, strict=True)))
            os.utime(written, (time.time() - age_s,) * 2)
            written.rename(self.folder / f"{first:06d} a:b%20.jsonl")
            self.keys.update(keys)


def line(model: Path, inputs: Sequence[str], out: str, mode: str, *more: str) -> list[str]:
    return ["score", str(model), *inputs, "--out", out, "--engine", "spark",
            "--spark-master", MASTER, "--stream", mode, "--key-field", "id", *more]


def keys_in(out: Path) -> list[str]:
    """Keys of all predictions, as a reader that knows nothing of the stream finds them."""
    parts = list(out.glob(PARTS))
    keys: list[str] = pq.read_table(out)["key"].to_pylist() if parts else []
    assert len(keys) == len(set(keys))
    return keys


class Stream:
    """A start of the command, and what it leaves in its folder."""

    def __init__(self, model: Path, source: Source, out: Path) -> None:
        self._out, self._log = out, out.with_name("log").open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reviewmill",
             *line(model, [str(source.folder)], str(out), "follow", "--files-per-batch", "2")],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=self._log)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return when it holds."""
        while not condition():
            assert self.process.poll() is None, self._out.with_name("log").read_text()
            time.sleep(PAUSE_S)

    def wait_for_new(self, pattern: str) -> None:
        """Return when there is one more file of these names."""
        before = set(self._out.glob(pattern))
        self.wait_for(lambda: bool(set(self._out.glob(pattern)) - before))

    def kill(self) -> None:
        """End it without a warning; its Java ends when it notices."""
        self.process.kill()
        self.process.communicate()
        self._log.close()

    def kill_below(self, command: bytes) -> None:
        """End processes that the stream has started."""
        parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir()
                   if entry.name.isdigit()}
        below = {self.process.pid}
        while more := {child for child, parent in parents.items() if parent in below} - below:
            below |= more
        found = [number for number in below if command in _command(number)]
        assert found
        for number in found:
            os.kill(number, signal.SIGKILL)

    def stop(self) -> str:
        """Ask it to end; what it has printed."""
        self.process.send_signal(signal.SIGTERM)
        printed, _ = self.process.communicate()
        self._log.close()
        assert self.process.returncode == 0, self._out.with_name("log").read_text()
        return printed


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0  # it has ended


def _command(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


def test_every_review_is_there_once_though_workers_the_stream_and_java_are_killed(
    model: Path, tmp_path: Path
) -> None:
    source, out = Source(tmp_path), tmp_path / "out"
    source.add(6)
    stream = Stream(model, source, out)
    stream.wait_for_new(PARTS)
    stream.kill_below(b"pyspark.daemon")
    stream.wait_for_new(OFFSETS)
    stream.kill()
    assert set(keys_in(out)) <= source.keys
    source.add(2)
    stream = Stream(model, source, out)
    stream.wait_for_new(PARTS)
    stream.kill_below(b"java")
    assert stream.process.wait() == 3, (tmp_path / "log").read_text()
    stream.kill()
    assert (tmp_path / "log").read_text().splitlines()[-1] == (
        "reviewmill score: Spark gave up: its Java has ended")
    stream = Stream(model, source, out)
    stream.wait_for(lambda: len(list(out.glob(PARTS))) == 8)
    source.add(1, age_s=5e8)
    stream.wait_for(lambda: len(list(out.glob(PARTS))) == 9)
    printed = stream.stop()
    assert set(keys_in(out)) == source.keys
    assert printed.splitlines()[-1].startswith(f"{out}: ")
    notes = sorted((out / "_batches").iterdir())
    assert [len(json.loads(note.read_bytes())["splits"]) for note in notes] == [2, 2, 2, 2, 1]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_review_is_there_once_over_twenty_kills(model: Path, tmp_path: Path) -> None:
    source, out = Source(tmp_path), tmp_path / "out"
    patterns = [SOURCES, OFFSETS, PLANS, PARTS, COMMITS]
    for number in range(20):
        source.add(5)
        stream = Stream(model, source, out)
        stream.wait_for_new(patterns[number % len(patterns)])
        stream.kill()
        assert set(keys_in(out)) <= source.keys
    stream = Stream(model, source, out)
    stream.wait_for(lambda: set(keys_in(out)) == source.keys)
    stream.stop()
    assert set(keys_in(out)) == source.keys


@pytest.mark.soak
def test_a_folder_of_hdfs_is_followed(
    model: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = Source(tmp_path)
    source.add(3)
    with running_hadoop(tmp_path_factory.mktemp("hadoop")):
        for start in range(2):
            for path in source.folder.iterdir():
                put(path, f"hdfs:///in/{path.name.replace(':', '')}")
            assert reviewmill.main(line(model, ["hdfs:///in"], "hdfs:///out", "available-now")) == 0
            local = tmp_path / f"local-{start}"
            fetch_folder("hdfs:///out", local)
            assert set(keys_in(local)) == source.keys
            source.add(2)


class Recorder:
    """In place of a cluster: what it was asked to score, which may be more than it can."""

    def __init__(self) -> None:
        self.asked: list[list[tuple[str, str]]] = []
        self.damaged = ""

    def score(self, job: Job, tasks: Sequence[Task]) -> Tally:
        names = [(task.part, Path(task.split.path).name) for task in tasks]
        if self.damaged in {name for _, name in names}:
            raise UserError(f"{self.damaged}: damaged gzip file")
        self.asked.append(names)
        return Tally(records=10 * len(tasks), scored=10 * len(tasks))

    @property
    def context(self) -> Any:
        return self

    def setLogLevel(self, level: str) -> None:
        assert level == "OFF"


def frame(folder: Path) -> SimpleNamespace:
    """In place of a data frame of the names in a folder."""
    rows = [SimpleNamespace(path=f"file:{path}") for path in folder.iterdir()]
    return SimpleNamespace(collect=lambda: rows)


def test_a_batch_is_divided_once_and_counted_once(tmp_path: Path) -> None:
    source, cluster, lines = Source(tmp_path), Recorder(), list[str]()
    source.add(3)
    first, second, third = sorted(path.name for path in source.folder.iterdir())
    (source.folder / "_hidden.jsonl").write_text("")
    job = Job(str(tmp_path / "out"), Recipe(), Decision(("negative", "positive")), "id")

    def start() -> Batches:
        return Batches(cluster, job, str(source.folder), lines.append)  # type: ignore[arg-type]

    batches, cluster.damaged = start(), second
    with pytest.raises(UserError, match="damaged gzip"):
        batches.run(frame(source.folder), 0)
    assert str(batches.failure) == f"{second}: damaged gzip file"
    (source.folder / second).unlink()  # the way out of it
    batches = start()
    batches.run(frame(source.folder), 0)
    batches.run(frame(source.folder), 0)
    assert cluster.asked == [[("part-00000-00000.parquet", first),
                              ("part-00000-00002.parquet", third)]]
    source.add(1)
    with pytest.raises(UserError, match="batch 0 had other files: its _checkpoint is gone"):
        batches.run(frame(source.folder), 0)
    assert batches.tally == Tally(records=20, scored=20)
    assert lines == ["batch 0: 2 files, 20 predictions"]


def test_no_batch_is_run_after_the_end(tmp_path: Path) -> None:
    source, cluster = Source(tmp_path), Recorder()
    source.add(1)
    job = Job(str(tmp_path / "out"), Recipe(), Decision(("negative", "positive")), "id")
    batches = Batches(cluster, job, str(source.folder), print)  # type: ignore[arg-type]
    batches.close()
    with pytest.raises(Exception, match="the end of the stream"):
        batches.run(frame(source.folder), 0)
    assert cluster.asked == [] and batches.failure is None


@pytest.mark.parametrize(("inputs", "out", "more", "said"), [
    (["absent"], "out", (), "absent is no folder"),
    (["in"], "in/out", (), "predictions would be scored"),
    (["in"], "out.parquet", (), "writes a folder of parts"),
    (["in", "in"], "out", (), "--stream follows one folder, not 2"),
    (["in"], "out", ("--files-per-batch", "0"), "--files-per-batch is 0"),
])
def test_mistakes_are_one_line(
    model: Path, tmp_path: Path, inputs: Sequence[str], out: str, more: Sequence[str], said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    assert reviewmill.main(line(model, inputs, out, "follow", *more)) == 2
    assert said in capsys.readouterr().err
    assert os.listdir() == ["in"] and os.listdir("in") == []

"""One contract for every runner: the store of the inline one, to the byte, whatever happens."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson
import pytest

import reviewmill
from mapreduce.engines.options import EngineOptions
from mapreduce.engines.run_job import ENGINES, run_job
from mapreduce.engines.ship_package import launcher
from mapreduce.gather_reviews import GatherReviews
from mapreduce.prepare import prepare
from mapreduce.resume.finished_tasks import FinishedTasks
from mapreduce.run_folders import RunFolders, places_for, remove_strays
from reviews.corpora import InputSplit
from reviews.errors import EngineError
from reviews.generate import generate
from reviews.recipe import Recipe
from reviews.storage.folders import names_below, read_whole
from reviews.store import Store
from tests.cluster.aws import BUCKET, KEYS, clusters, objects, pretended_aws
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews
from tests.mapreduce.engines.clusters import running_hadoop, running_spark
from tests.mapreduce.engines.emr_double import impatience, put, working
from tests.requirements import need

RECIPE = Recipe.of(keep_keys=("reviewer", "product", "time"))
# What takes time is to start tasks: there are two of a kind.
REVIEWS, PARTITION_BYTES = 20_000, 16 << 20
# What a cluster takes on a busy machine.
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Corpus:
    """Files with many reviews twice, in one file and in two, and the bytes of their store."""

    files: list[str]
    records: int
    expected: dict[str, bytes]


@pytest.fixture(scope="module", autouse=True)
def small_partitions() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapreduce.prepare.PARTITION_BYTES", PARTITION_BYTES)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    top = tmp_path_factory.mktemp("corpus")
    files = list(map(str, generate(top / "reviews.json.gz", REVIEWS)))
    # A review of the second file has equals in the first, so its duplicates are in two splits.
    files += list(map(str, generate(top / "again.json.gz", REVIEWS // 20)))
    store = run(files, top / "store", RECIPE)
    assert store.manifest["records"]["dropped"]["duplicate"] > REVIEWS // 20
    assert len(store.shards("train")) == 2
    return Corpus(files, store.manifest["records"]["read"], bytes_of(store))


@pytest.fixture(scope="module")
def hadoop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineOptions]:
    with running_hadoop(tmp_path_factory.mktemp("hadoop")):
        yield EngineOptions(runner="hadoop")


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineOptions]:
    folder = tmp_path_factory.mktemp("spark")
    with running_spark(folder) as address:
        yield EngineOptions(runner="spark", spark_master=address, workers=2,
                            spark_conf=("electronics", "spark.executor.memory=600m",
                                        "spark.executor.extraJavaOptions=-Da.b=c,d"))
        started = [log.read_text() for log in folder.glob("worker-*.log")]
        assert all("-Xmx600M" in log and "-Da.b=c,d" in log for log in started if "-Xmx" in log)
        assert any("-Xmx600M" in log for log in started)


@pytest.fixture(scope="module")
def emr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineOptions]:
    need(importlib.util.find_spec("s3fs") is not None, "s3fs is not installed")
    for _ in pretended_aws():
        with working(tmp_path_factory.mktemp("nodes")), impatience():
            yield EngineOptions(runner="emr")


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> EngineOptions:
    """The options of the runner that a test names, with its cluster running."""
    if request.param in ("local", "dask"):
        found = request.param == "local" or importlib.util.find_spec("distributed") is not None
        need(found, "needs dask")
        return EngineOptions(runner=request.param, workers=2)
    options = request.getfixturevalue(request.param)
    assert isinstance(options, EngineOptions)
    return options


@pytest.mark.parametrize("engine", ["local", "dask", "spark"], indirect=True)
def test_every_runner_makes_the_store_of_the_inline_one(
    engine: EngineOptions, corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reviews.runtime.progress.LOG_S", 0.0)
    monkeypatch.setattr("mapreduce.engines.task_notes.WATCH_S", 0.1)
    prepare({"corpus": corpus.files}, str(tmp_path / "store"), RECIPE, engine)
    store = Store(tmp_path / "store")
    found = bytes_of(store)
    found.pop("dask-report.html", None)  # beside the store, as prepare.json is
    assert found == corpus.expected
    counters = json.loads((store.path / "prepare.json").read_bytes())["counters"]
    assert counters["gather"]["reviews"]["records read"] == corpus.records
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    # Meanwhile, how far each job is and how long it will take is shown.
    shown = re.findall(r"prepare: (\w+): [1-9]\d?%, .* left", capsys.readouterr().err)
    assert list(dict.fromkeys(shown)) == ["gather", "count", "encode"]


@pytest.mark.soak  # a fourth job: that each starts takes these engines 16 and 35 seconds
@pytest.mark.parametrize("engine", ["spark", "hadoop"], indirect=True)
def test_files_that_a_cluster_has_cut_first_make_that_store_too(
    engine: EngineOptions, corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mapreduce.prepare.SPLIT_BYTES", 4 << 20)
    prepare({"corpus": corpus.files}, str(tmp_path / "store"), RECIPE,
            replace(engine, cut_above=0))
    assert bytes_of(Store(tmp_path / "store")) == corpus.expected
    pieces = re.search(r"prepare: cut: 2 long files, (\d+) pieces", capsys.readouterr().err)
    assert pieces and int(pieces[1]) > 4


@pytest.mark.parametrize("engine", [
    "dask", *(pytest.param(name, marks=pytest.mark.soak) for name in ("spark", "hadoop", "emr")),
], indirect=True)
def test_a_run_that_goes_on_does_no_task_again(
    engine: EngineOptions, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver ends when all tasks of job 1 have ended, and knows nothing of it."""
    elsewhere = f"s3://{BUCKET}/work" if engine.runner == "emr" else None
    options = replace(engine, resume=True, work_dir=elsewhere)

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FinishedTasks, "write", end)
        prepare({"corpus": corpus.files}, str(tmp_path / "store"), RECIPE, options)
    assert [path.name for path in tmp_path.iterdir()] == [".store.partial"]
    made = list[str]()

    def look(places: RunFolders, *given: set[str]) -> None:
        made.extend(name for name in names_below(places.work)
                    if name.startswith(("gathered/", "partitions/")))
        remove_strays(places, *given)

    with monkeypatch.context() as patch:
        patch.setattr("mapreduce.prepare.remove_strays", look)
        prepare({"corpus": corpus.files}, str(tmp_path / "store"), RECIPE, options)
    store = Store(tmp_path / "store")
    found = bytes_of(store)
    found.pop("dask-report.html", None)
    assert found == corpus.expected
    # Two files were read, for two shards; a task that is done again writes another file.
    assert json.loads((store.path / "prepare.json").read_bytes())["earlier_tasks"] == 4
    assert len(made) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert elsewhere is None or not names_below(elsewhere)


def kill_one(command: Callable[[bytes], bool], stop: threading.Event, killed: list[int]) -> None:
    """Kill -9 the first process whose command line is like that."""
    while not killed and not stop.wait(0.02):
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and command((folder / "cmdline").read_bytes()):
                    os.kill(int(folder.name), signal.SIGKILL)
                    killed.append(int(folder.name))
                    return
            except OSError:  # it has ended
                continue


def test_hadoop_makes_that_store_in_hdfs_though_a_map_task_is_killed(
    hadoop: EngineOptions, corpus: Corpus, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = "hdfs:///stores/killed"

    def is_mapper(line: bytes) -> bool:
        parts = line.split(b"\0")
        return any(part.endswith(b"gather_reviews.py") for part in parts[:2]) and any(
            b"stores/killed" in part for part in parts) and b"--mapper" in parts

    stop, killed = threading.Event(), list[int]()
    killer = threading.Thread(target=kill_one, args=(is_mapper, stop, killed))
    killer.start()
    try:
        prepare({"corpus": corpus.files}, out, RECIPE, hadoop)
    finally:
        stop.set()
        killer.join()
    assert killed
    found = {name: read_whole(f"{out}/{name}") for name in names_below(out)}
    told = json.loads(found.pop("prepare.json"))
    assert found == corpus.expected
    # The failed attempt is seen, and what it counted is not counted twice.
    assert told["counters"]["gather"]["Job Counters"]["Failed map tasks"] >= 1
    assert told["counters"]["gather"]["reviews"]["records read"] == corpus.records

    assert reviewmill.main(["inspect", out, "--verify"]) == 0
    assert "verified" in capsys.readouterr().out
    assert reviewmill.main(["prepare", corpus.files[0], "--out", out, "--runner", "hadoop"]) == 2
    assert f"{out} exists and is not empty" in capsys.readouterr().err


def test_emr_makes_that_store_on_s3_and_nothing_is_left_running(
    emr: EngineOptions, corpus: Corpus, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.to_yaml())
    for path in corpus.files:
        put(f"s3://{BUCKET}/in/{Path(path).name}", Path(path).read_bytes())
    out, others = f"s3://{BUCKET}/out/store", set(clusters())  # those of other tests
    assert reviewmill.main(["prepare", f"s3://{BUCKET}/in", "--out", out, "--runner", "emr",
                            "--recipe", str(recipe)]) == 0
    found = {name.removeprefix("out/store/"): data for name, data in objects("out/store/").items()}
    assert json.loads(found.pop("prepare.json"))["runner"] == "emr"
    # Nothing is there but the store: no work folder, and no cluster that costs money.
    assert found == corpus.expected
    assert [cluster.state for name, cluster in clusters().items()
            if name not in others] == ["TERMINATED"]

    assert reviewmill.main(["inspect", out, "--verify"]) == 0
    said = capfd.readouterr()
    assert "about $" in said.err and "verified" in said.out
    everything = [said.out, said.err, str([vars(c) for c in clusters().values()]),
                  *(data.decode("latin-1") for data in objects().values())]
    assert not any(key in text for key in KEYS.values() for text in everything)


@pytest.mark.parametrize("engine", [
    pytest.param("hadoop", marks=pytest.mark.soak), "spark"], indirect=True)
def test_the_last_words_of_a_failed_task_are_shown(engine: EngineOptions, tmp_path: Path) -> None:
    out = "hdfs:///stores/failed" if engine.runner == "hadoop" else str(tmp_path / "store")
    with places_for(out, None, tasks_are_elsewhere=True) as places:
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(RECIPE.to_yaml())
        split = InputSplit("reviews.json", 0, -1, "jsonl")
        with (ENGINES[str(engine.runner)].session(engine, places, {}),
              pytest.raises(EngineError, match=r"KeyError: 'nobody'") as failed):
            run_job(GatherReviews, [orjson.dumps({**asdict(split), "role": "nobody"})],
                    ["--work-dir", places.work, "--recipe-file", str(recipe)],
                    replace(engine, workers=1), places)
    assert str(failed.value).startswith(f"GatherReviews failed on the runner {engine.runner}: ")
    assert failed.value.status == 3
    assert not names_below(out)


def test_a_python_that_the_nodes_do_not_have_is_named(
    spark: EngineOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_reviews(tmp_path / "reviews.json", make_reviews(60))
    assert reviewmill.main(["prepare", path, "--out", str(tmp_path / "store"), "--runner", "spark",
                            "--spark-master", str(spark.spark_master), "--python-bin",
                            "/nowhere/python"]) == 3
    said = capsys.readouterr().err
    assert "GatherReviews failed on the runner spark: " in said
    assert 'Cannot run program "/nowhere/python": error=2, No such file' in said
    assert "Traceback" not in said
    assert [entry.name for entry in tmp_path.iterdir()] == ["reviews.json"]


def test_a_spark_whose_java_is_killed_is_one_line(
    spark: EngineOptions, corpus: Corpus, tmp_path: Path
) -> None:
    # In a process of its own, as this one would keep the connection to the dead Java.
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "reviewmill", "prepare", *corpus.files, "--out",
         str(tmp_path / "store"), "--runner", "spark", "--spark-master", str(spark.spark_master),
         *(word for setting in spark.spark_conf or () for word in ("--spark-conf", setting))],
        stderr=subprocess.PIPE, text=True) as command:
        assert command.stderr is not None
        said = ""
        while "gather:" not in said:
            said += next(command.stderr)
        # The command's one child is the Java of the driver.
        thread = Path("/proc", str(command.pid), "task", str(command.pid))
        os.kill(int((thread / "children").read_text()), signal.SIGKILL)
        said += command.stderr.read()
        assert command.wait(300) == 3, said
    assert said.splitlines()[-1].startswith("reviewmill prepare: "), said
    assert "Spark" in said.splitlines()[-1] and "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_job_carries_its_package_to_where_no_checkout_is(tmp_path: Path) -> None:
    reviews = write_reviews(tmp_path / "reviews.json", make_reviews(100))
    task = launcher("mapreduce.gather_reviews", "GatherReviews")
    # What a task does, and then: where its modules were found.
    program = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n"
        "    print(sys.modules['reviews'].__path__[0], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.argv[0] = {str(task)!r}\n{program}",
         "--mapper", "--step-num=0", "--work-dir", str(tmp_path / "work")],
        cwd=tmp_path, input=f"{reviews}\n".encode(), capture_output=True, timeout=300,
        env={**os.environ, "REVIEWMILL_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr.decode()
    found = Path(done.stderr.decode().split()[-1])
    assert found.is_relative_to(tmp_path / "cache") and not found.is_relative_to(Path.cwd())
    assert orjson.loads(done.stdout.splitlines()[-1].split(b"\t")[1])["counts"]["read"] == 100
    assert len(list((tmp_path / "work" / "gathered").iterdir())) == 1


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = reviewmill.main(["prepare", "reviews.json", "--out", "store", *arguments])
    return status, capsys.readouterr().err


def test_an_engine_that_cannot_be_had_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HADOOP_BIN", "HADOOP_HOME", "HADOOP_CONF_DIR", "HADOOP_STREAMING_JAR"):
        monkeypatch.delenv(name, raising=False)
    spark = ["--runner", "spark"]
    status, said = refusal(capsys, *spark)
    assert status == 2 and "--runner spark needs --spark-master" in said
    status, said = refusal(capsys, *spark, "--spark-master", "spark://127.0.0.1:1")
    assert status == 3 and said == (
        "reviewmill prepare: Spark cannot be reached at spark://127.0.0.1:1: Connection refused\n")
    status, said = refusal(capsys, *spark, "--spark-master", "spark://here")
    assert status == 2 and "give spark://HOST:PORT" in said
    monkeypatch.setenv("PATH", "/nowhere")
    status, said = refusal(capsys, "--runner", "hadoop")
    assert status == 2 and "no Hadoop: set HADOOP_HOME or HADOOP_BIN" in said
    program = tmp_path / "home" / "bin" / "hadoop"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("HADOOP_HOME", str(tmp_path / "home"))
    status, said = refusal(capsys, "--runner", "hadoop")
    assert status == 2 and "no jar of Hadoop streaming: set HADOOP_STREAMING_JAR" in said
    jars = tmp_path / "home" / "share" / "hadoop" / "tools" / "lib"
    jars.mkdir(parents=True)
    (jars / "hadoop-streaming-3.4.2.jar").touch()
    status, said = refusal(capsys, "--runner", "hadoop")
    assert status == 2 and "set HADOOP_CONF_DIR" in said
    (tmp_path / "hdfs-site.xml").write_text(
        "<configuration><property><name>dfs.namenode.http-address</name>"
        "<value>127.0.0.1:1</value></property></configuration>")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    status, said = refusal(capsys, "--runner", "hadoop")
    assert status == 3 and "HDFS cannot be reached: " in said
    assert not (tmp_path / "store").exists()

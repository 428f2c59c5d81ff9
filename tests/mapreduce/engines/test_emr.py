"""The runner emr: a cluster that is always ended, whatever happens.

That its store is the one of every other runner is in test_engines.py.
"""

import contextlib
import gzip
import importlib.util
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import reviewmill
from cluster.aws import client
from mapreduce.cut_files import cut_file
from reviews.corpora import plan_splits
from reviews.errors import UserError
from reviews.recipe import load_recipe
from reviews.storage import folders
from reviews.storage.files import file_system
from reviews.store import Store
from tests.cluster.aws import (
    BUCKET,
    KEYS,
    REGION,
    clusters,
    make_bucket,
    objects,
    pretended_aws,
    states,
)
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews
from tests.mapreduce.engines.emr_double import Double, impatience, put, working
from tests.requirements import need
from tests.reviews.corpora.reading import WHOLE, read_splits

IN = f"s3://{BUCKET}/in"


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    """A pretended AWS whose clusters work, with two files of reviews on its S3."""
    need(importlib.util.find_spec("s3fs") is not None, "s3fs is not installed")
    for _ in pretended_aws():
        with working(tmp_path_factory.mktemp("nodes")) as double:
            top = tmp_path_factory.mktemp("corpus")
            rows = make_reviews(1200)
            for i in range(2):
                path = write_reviews(top / f"{i}.json", rows[i::2] + rows[:50])
                put(f"{IN}/{i}.json", Path(path).read_bytes())
            yield double


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("mapreduce.prepare.PARTITION_BYTES", 100_000)
    with impatience():
        yield


@pytest.fixture
def started() -> Callable[[], set[str]]:
    """The clusters that a test has started."""
    before = set(clusters())
    return lambda: set(clusters()) - before


def prepare(*arguments: str) -> int:
    return reviewmill.main(["prepare", *arguments, "--runner", "emr"])


def test_a_store_of_this_machine_is_made_on_a_cluster_that_is_there_and_stays(
    double: Double, started: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One partition, as it is the start of tasks that takes time.
    monkeypatch.setattr("mapreduce.prepare.PARTITION_BYTES", 16 << 20)
    assert reviewmill.main(["cluster", "emr", "create", "--work", f"s3://{BUCKET}/ours"]) == 0
    cluster = capsys.readouterr().out.strip()
    assert prepare(f"{IN}/0.json", "--out", str(tmp_path / "store"), "--cluster-id", cluster,
                   "--work-dir", f"s3://{BUCKET}/tmp") == 0
    assert started() == {cluster}
    assert clusters()[cluster].state == "WAITING"
    assert bytes_of(Store(tmp_path / "store")) == bytes_of(
        run([f"{IN}/0.json"], tmp_path / "inline", load_recipe()))
    assert objects("tmp/") == {}
    assert reviewmill.main(["cluster", "emr", "terminate", cluster]) == 0


def test_a_long_file_is_cut_on_s3_into_pieces_that_other_nodes_read(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reviews.corpora.stretches._STRETCH", 5_000)
    monkeypatch.setattr("reviews.corpora.inputs._PIECE", 5_000)
    rows = [json.dumps(row).encode() for row in make_reviews(300)]
    put(f"{IN}/long.gz", gzip.compress(b"\n".join(rows)))
    [split] = plan_splits([f"{IN}/long.gz"], WHOLE)
    pieces = list(cut_file(split, WHOLE, 10_000, f"s3://{BUCKET}/tmp/work"))
    assert len(pieces) > 3 and len(objects("tmp/work/pieces/")) == len(pieces)
    assert read_splits(pieces, rows=1) == read_splits([split], rows=1)
    folders.delete(f"s3://{BUCKET}/tmp")
    folders.delete(f"{IN}/long.gz")


def refused(
    message: str, status: int, capsys: pytest.CaptureFixture[str], *arguments: str
) -> None:
    assert prepare(*arguments) == status
    lines = capsys.readouterr().err.strip().splitlines()
    [said] = [line for line in lines if line.startswith("reviewmill prepare: ")]
    assert message in "\n".join(lines[lines.index(said):])


def test_what_is_wrong_before_the_start_costs_nothing(
    double: Double, started: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = ["--out", f"s3://{BUCKET}/never/store"]
    put(f"s3://{BUCKET}/full/file", b"mine")
    refused("is not empty", 2, capsys, IN, "--out", f"s3://{BUCKET}/full")
    refused("no such file", 2, capsys, f"s3://{BUCKET}/nothing", *out)
    refused("reads and writes s3://", 2, capsys, IN, "--out", str(tmp_path / "store"))
    make_bucket("other-region", "us-west-2")
    (config := tmp_path / "emr.yaml").write_text("region: us-west-2\n")
    refused("data and cluster belong into one region", 2, capsys, IN, *out, "--emr-config",
            str(config))
    config.write_text("core_cont: 2\n")
    refused("did you mean core_count", 2, capsys, IN, *out, "--emr-config", str(config))
    refused("not both", 2, capsys, IN, *out, "--emr-config", str(config), "--cluster-id", "j-1")
    refused("cluster j-1: AWS refused", 2, capsys, IN, *out, "--cluster-id", "j-1")
    config.write_text("core_type: m99.xlarge\n")
    refused("the price of m99.xlarge is not known", 2, capsys, IN, *out, "--emr-config",
            str(config))
    for name in KEYS:
        monkeypatch.delenv(name)
    client.cache_clear()
    file_system(IN).clear_instance_cache()
    refused("redentials", 2, capsys, IN, *out)
    client.cache_clear()
    file_system(IN).clear_instance_cache()
    assert started() == set()
    monkeypatch.undo()
    assert objects("never/") == {}


def test_a_bootstrap_action_that_fails_is_told_and_the_cluster_is_gone(
    double: Double, started: Callable, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(double, "pip", "echo no such package >&2; exit 1")
    refused("its bootstrap action said last: no such package | reviewmill: bootstrap failed", 3,
            capsys, IN, "--out", f"s3://{BUCKET}/failed/bootstrap")
    assert len(started()) == 1
    assert states() <= {"TERMINATED", "TERMINATED_WITH_ERRORS"}


def test_the_last_lines_of_a_task_that_fails_are_shown_and_the_cluster_is_gone(
    double: Double, started: Callable, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The nodes cannot import what the jobs need.
    (double.folder / "broken" / "numpy").mkdir(parents=True)
    (double.folder / "broken" / "numpy" / "__init__.py").write_text("raise OSError('no numpy')")
    path = f"{double.folder}/broken:{double.environment['PYTHONPATH']}"
    monkeypatch.setitem(double.environment, "PYTHONPATH", path)
    refused("OSError: no numpy", 3, capsys, IN, "--out", f"s3://{BUCKET}/failed/task")
    assert len(started()) == 1
    assert states() <= {"TERMINATED", "TERMINATED_WITH_ERRORS"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_its_cluster(
    number: signal.Signals, double: Double, started: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(double, "before_step", lambda cluster: os.kill(os.getpid(), number))
    assert prepare(f"{IN}/0.json", "--out", f"s3://{BUCKET}/stopped/{number.name}") == 130
    assert len(started()) == 1
    assert states() <= {"TERMINATED", "TERMINATED_WITH_ERRORS"}
    with pytest.raises(UserError, match="is not a store"):
        Store(f"s3://{BUCKET}/stopped/{number.name}")


def test_a_cluster_that_ends_under_the_run_is_told(
    double: Double, started: Callable, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def end(cluster: Any) -> None:
        for step in cluster.steps:
            step.state = "CANCELLED"
        cluster.state = "TERMINATED_WITH_ERRORS"
        cluster.last_state_change_reason = "all instances are gone"

    monkeypatch.setattr(double, "run", lambda cluster, step: end(cluster))
    refused("all instances are gone", 3, capsys, f"{IN}/0.json", "--out",
            f"s3://{BUCKET}/failed/gone")
    assert states() <= {"TERMINATED", "TERMINATED_WITH_ERRORS"}


def test_a_store_on_s3_is_none_before_its_last_file(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is cut off after each of its PUTs into the store; the manifest is the last."""
    real = folders.put
    allowed = 0

    def limited(local: Path, path: str) -> None:
        nonlocal allowed
        if allowed == 0:
            raise OSError("the connection is gone")
        allowed -= 1
        real(local, path)

    monkeypatch.setattr(folders, "put", limited)
    refusals = 0
    while True:
        allowed = refusals
        out = f"s3://{BUCKET}/cut/{refusals}"
        with contextlib.suppress(OSError):
            run([f"{IN}/0.json"], out)
        if "manifest.json" in {key.rsplit("/", 1)[-1] for key in objects(f"cut/{refusals}/")}:
            break
        with pytest.raises(UserError, match="is not a store"):
            Store(out)
        refusals += 1
    keys = {key.removeprefix(f"cut/{refusals}/") for key in objects(f"cut/{refusals}/")}
    assert set(Store(out).manifest["files"]) | {"manifest.json"} == keys
    assert refusals == len(keys)


def test_the_regions_of_all_inputs_are_looked_at(
    double: Double, started: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bucket("far-away-input", "ap-south-1")
    put("s3://far-away-input/a.json", b'{"reviewText": "good tea", "overall": 5}\n' * 60)
    refused(f"s3://reviews is in {REGION}, the others in ap-south-1", 2, capsys,
            "s3://far-away-input/a.json", "--out", f"s3://{BUCKET}/never/store")
    assert started() == set()

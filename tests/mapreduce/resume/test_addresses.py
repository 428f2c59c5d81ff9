"""A run whose store lies at an address goes on there: its work is kept below the store."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce.resume import address_lock
from mapreduce.resume.address_lock import held
from mapreduce.run_folders import RECORD, WORK
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.storage.folders import names_below, read_whole, write_whole
from tests.cluster.aws import BUCKET, objects, pretended_aws
from tests.mapreduce.corpus import run
from tests.mapreduce.resume.kills import Call, Corpus, EndOfTask, killed_at

RECIPE = Recipe.of(length=4)
TOP, OUT = "stores/one", f"s3://{BUCKET}/stores/one"
THIRD = EndOfTask("GatherReviews", "mapper", 3)
JOB = {"jobs": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapreduce.prepare.PARTITION_BYTES", 60_000)
        yield Corpus(tmp_path_factory.mktemp("corpus"), RECIPE, 800)


@pytest.fixture(autouse=True)
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("s3fs")
    monkeypatch.setenv("REVIEWMILL_CACHE", str(tmp_path / "cache"))
    for _ in pretended_aws():
        yield


def goes_on(corpus: Corpus, **options: Any) -> dict[str, dict[str, int]]:
    """Go on; the store is the same, and nothing else is left. What was not done again, by job."""
    run(corpus.paths, OUT, RECIPE, resume=True, **options)
    found = {name.removeprefix(f"{TOP}/"): data for name, data in objects().items()}
    counters = json.loads(found.pop("prepare.json"))["counters"]
    assert found == corpus.expected
    return {name: groups["reused"] for name, groups in counters.items() if "reused" in groups}


@pytest.mark.parametrize(("moment", "not_again"), [
    (THIRD, lambda shards: {"gather": {"tasks": 3}}),
    (EndOfTask("EncodeReviews", "mapper", 2),
     lambda shards: {"gather": JOB, "count": JOB, "encode": {"tasks": 2}}),
    (Call("put_in_place"),
     lambda shards: {"gather": JOB, "count": JOB, "encode": {"tasks": shards}}),
], ids=["third map task", "second encoder", "store made"])
def test_killed_at_any_moment_it_goes_on_with_what_was_finished(
    moment: EndOfTask | Call, not_again: Any, corpus: Corpus
) -> None:
    assert killed_at(moment, corpus.paths, OUT, RECIPE) == -signal.SIGKILL
    assert {f"{WORK}/{RECORD}", f"{WORK}/lock.json"} < set(names_below(OUT))
    assert goes_on(corpus) == not_again(corpus.shards)


def test_its_work_may_be_kept_elsewhere(corpus: Corpus, tmp_path: Path) -> None:
    elsewhere = tmp_path / "work"
    assert killed_at(THIRD, corpus.paths, OUT, RECIPE, work_dir=str(elsewhere)) == -signal.SIGKILL
    assert len(list(elsewhere.iterdir())) == 1
    assert goes_on(corpus, work_dir=str(elsewhere)) == {"gather": {"tasks": 3}}
    assert not list(elsewhere.iterdir())


def test_an_earlier_store_there_is_replaced_once(corpus: Corpus) -> None:
    """Its shards have the names of those of the killed run, which stay."""
    run(corpus.paths[:3], OUT, Recipe.of(length=5))
    moment = EndOfTask("EncodeReviews", "mapper", 2)
    assert killed_at(moment, corpus.paths, OUT, RECIPE) == 1, "refused: not empty"
    assert killed_at(moment, corpus.paths, OUT, RECIPE, overwrite=True) == -signal.SIGKILL
    assert "manifest.json" not in names_below(OUT)
    with pytest.raises(UserError, match="is not empty"):
        run(corpus.paths, OUT, RECIPE)
    assert goes_on(corpus) == {"gather": JOB, "count": JOB, "encode": {"tasks": 2}}


def test_killed_when_its_store_was_there_it_is_done(corpus: Corpus) -> None:
    moment = Call("put_in_place", has_returned=True)
    assert killed_at(moment, corpus.paths, OUT, RECIPE) == -signal.SIGKILL
    before = read_whole(f"{OUT}/prepare.json")
    with pytest.raises(UserError, match="made of other things: length was 4, now 5"):
        run(corpus.paths, OUT, Recipe.of(length=5), resume=True)
    assert goes_on(corpus) == {}
    assert read_whole(f"{OUT}/prepare.json") == before
    with pytest.raises(UserError, match="is not empty"):
        run(corpus.paths, OUT, RECIPE, resume=True)


def test_without_the_option_it_begins_again_and_says_what_goes(
    corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert killed_at(THIRD, corpus.paths, OUT, RECIPE) == -signal.SIGKILL
    run(corpus.paths, OUT, RECIPE, overwrite=True)
    assert f"has kept in {OUT}/{WORK}" in capsys.readouterr().err
    assert {*names_below(OUT)} == {*corpus.expected, "prepare.json"}


def test_a_run_that_fails_before_a_task_has_finished_leaves_nothing(
    corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no such file"):
        run([str(tmp_path / "none.json")], OUT, RECIPE, resume=True)
    assert not objects()


def test_two_runs_at_once_are_refused(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_lock, "BEAT_S", 0.05)
    with (held(f"{OUT}/{WORK}/lock.json", OUT),
          pytest.raises(UserError, match=f"another prepare is writing {OUT}")):
        run(corpus.paths, OUT, RECIPE, resume=True)
    assert not objects()


def test_the_lock_of_another_machine_is_taken_when_it_has_been_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = f"{OUT}/{WORK}/lock.json"
    write_whole(lock, json.dumps({"run": "a", "system": "b", "process": 1, "beat": 9}).encode())
    monkeypatch.setattr(address_lock, "SILENCE_S", 0.2)
    monkeypatch.setattr(address_lock, "BEAT_S", 0.05)
    with held(lock, OUT):
        assert json.loads(read_whole(lock))["run"] != "a"
        assert threading.active_count() > 1
    assert "it is seen whether that has ended" in capsys.readouterr().err
    assert not objects()

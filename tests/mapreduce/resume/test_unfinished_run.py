"""A run that was killed at any moment goes on, does nothing twice, and makes the same store."""

import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import fsspec
import pytest

import reviewmill
from mapreduce.resume.unfinished_run import differing, stamp
from mapreduce.run_folders import _locked
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.runtime.file_locks import lock_file
from reviews.storage.folders import names_below
from reviews.store import Store
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews
from tests.mapreduce.resume.kills import TASK, Call, Corpus, EndOfTask, killed_at

RECIPE = Recipe.of(length=4, features=("votes", "verified:category"))
LOCAL = {"runner": "local", "workers": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapreduce.prepare.PARTITION_BYTES", 60_000)
        yield Corpus(tmp_path_factory.mktemp("corpus"), RECIPE, 1600)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "store"


def reused(out: Path) -> dict[str, dict[str, int]]:
    """Numbers of tasks that were not done again, by job."""
    counters = json.loads((out / "prepare.json").read_text())["counters"]
    return {name: groups["reused"] for name, groups in counters.items() if "reused" in groups}


def goes_on(corpus: Corpus, out: Path, **options: Any) -> dict[str, dict[str, int]]:
    """Go on; the store is the same, nothing else is left, and nothing was there before."""
    assert not out.exists()
    store = run(corpus.paths, out, RECIPE, resume=True, **options)
    assert bytes_of(store) == corpus.expected
    assert [path.name for path in out.parent.iterdir()] == ["store"]
    return reused(out)


JOB = {"jobs": 1}
MOMENTS: list[tuple[EndOfTask | Call, Any]] = [
    (EndOfTask("GatherReviews", "mapper", 1, is_kept=False), lambda shards: {}),
    (EndOfTask("GatherReviews", "mapper", 3), lambda shards: {"gather": {"tasks": 3}}),
    (EndOfTask("GatherReviews", "reducer", 2), lambda shards: {"gather": {"tasks": 6}}),
    (EndOfTask("CountWords", "mapper", 2), lambda shards: {"gather": JOB, "count": {"tasks": 2}}),
    (EndOfTask("CountWords", "reducer", 1, is_kept=False),
     lambda shards: {"gather": JOB, "count": {"tasks": shards}}),
    (Call("clear"), lambda shards: {"gather": JOB, "count": JOB}),
    (EndOfTask("EncodeReviews", "mapper", 2),
     lambda shards: {"gather": JOB, "count": JOB, "encode": {"tasks": 2}}),
    (Call("put_in_place"),
     lambda shards: {"gather": JOB, "count": JOB, "encode": {"tasks": shards}}),
]


@pytest.mark.parametrize(("moment", "not_again"), MOMENTS, ids=[
    "first map task", "third map task", "second reducer", "second count", "a counted partition",
    "all counted", "second encoder", "store made"])
def test_killed_at_any_moment_it_goes_on_with_what_was_finished(
    moment: EndOfTask | Call, not_again: Any, corpus: Corpus, out: Path
) -> None:
    assert killed_at(moment, corpus.paths, out, RECIPE) == -signal.SIGKILL
    assert not out.exists()
    assert goes_on(corpus, out) == not_again(corpus.shards)


@pytest.mark.parametrize(("victim", "number", "status"), [
    ("driver", signal.SIGKILL, -signal.SIGKILL), ("driver", signal.SIGTERM, -signal.SIGTERM),
    (TASK, signal.SIGKILL, 1),
])  # fmt: skip
def test_so_it_does_where_tasks_are_processes(
    victim: str, number: int, status: int, corpus: Corpus, out: Path
) -> None:
    moment = EndOfTask("GatherReviews", "mapper", 2)
    assert killed_at(moment, corpus.paths, out, RECIPE, victim, number, **LOCAL) == status
    assert goes_on(corpus, out, **LOCAL)["gather"]["tasks"] >= 2


def test_it_may_be_killed_again_and_go_on_with_more_workers(corpus: Corpus, out: Path) -> None:
    for moment in (EndOfTask("GatherReviews", "mapper", 1), EndOfTask("CountWords", "mapper", 1),
                   EndOfTask("EncodeReviews", "mapper", 1)):
        assert killed_at(moment, corpus.paths, out, RECIPE) == -signal.SIGKILL
    assert goes_on(corpus, out, **LOCAL) == {"gather": JOB, "count": JOB, "encode": {"tasks": 1}}


def test_half_written_files_are_never_taken_and_removed_first(corpus: Corpus, out: Path) -> None:
    """The second task of three has written its work file, and was killed before that was noted."""
    moment = EndOfTask("GatherReviews", "mapper", 2, is_kept=False)
    assert killed_at(moment, corpus.paths, out, RECIPE) == -signal.SIGKILL
    work = out.parent / ".store.partial" / "work"
    before = set((work / "gathered").iterdir())
    assert len(before) == 2 and len(list((work / "finished").iterdir())) == 1
    (work / "finished" / ".0.json.half").write_text('{"files": [')
    after = EndOfTask("GatherReviews", "mapper", 2, is_kept=False)
    assert killed_at(after, corpus.paths, out, RECIPE) == -signal.SIGKILL
    assert len(before & set((work / "gathered").iterdir())) == 1
    assert goes_on(corpus, out) == {"gather": {"tasks": 2}}


def fail_at(moment: EndOfTask | Call, corpus: Corpus, out: Path, **options: Any) -> Path:
    """A run that is killed at that moment; the folder that it leaves."""
    assert killed_at(moment, corpus.paths, out, RECIPE, **options) == -signal.SIGKILL
    return out.parent / ".store.partial"


THIRD = EndOfTask("GatherReviews", "mapper", 3)


@pytest.mark.parametrize(("recipe", "message"), [
    (Recipe.of(length=5, features=("votes", "verified:category")), "length was 4, now 5"),
    (Recipe.of(length=4), r"features was \['votes', 'verified:category'\], now \[\]"),
])  # fmt: skip
def test_another_recipe_is_refused_and_what_differs_is_named(
    recipe: Recipe, message: str, corpus: Corpus, out: Path
) -> None:
    partial = fail_at(THIRD, corpus, out)
    with pytest.raises(UserError, match=rf"made of other things: {message}; delete it to begin"):
        run(corpus.paths, out, recipe, resume=True)
    assert partial.is_dir() and goes_on(corpus, out) == {"gather": {"tasks": 3}}


def test_other_input_or_another_version_is_refused_too(
    corpus: Corpus, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [shutil.copy2(path, tmp_path) for path in corpus.paths]
    assert killed_at(THIRD, paths, out, RECIPE) == -signal.SIGKILL

    def refused(paths: list[str], message: str, **options: Any) -> None:
        with pytest.raises(UserError, match=message):
            run(paths, out, RECIPE, resume=True, **options)

    refused(paths[:3], r"3\.json \(corpus\) is missing")
    refused([*paths[1:]], r"0\.json \(corpus\) is missing")
    refused([*paths, corpus.paths[0]], r"0\.json \(corpus\) is new")
    refused(paths[:3], r"\(corpus\) is missing, .*\(test\) is new", test=paths[3:])
    refused(paths, "runner was of this machine, now dask", runner="dask", workers=None)
    refused(paths, r"work_dir was None, now .*; delete .* and .* to begin", work_dir=str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("mapreduce.resume.unfinished_run.code_digest", lambda: "0123456789")
        refused(paths, r"reviewmill was .*, code .*, now .*, code 01234567;")
    content = Path(paths[0]).read_bytes()
    Path(paths[0]).write_bytes(content.replace(b"good", b"fine"))
    refused(paths, r"0\.json \(corpus\) was of \d+ bytes, changed at \d+, now of")
    Path(paths[0]).write_bytes(content)
    shutil.copystat(corpus.paths[0], paths[0])
    assert bytes_of(run(paths, out, RECIPE, resume=True)) == corpus.expected


def test_without_the_option_it_begins_again_and_says_what_goes(
    corpus: Corpus, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = fail_at(THIRD, corpus, out)
    store = run(corpus.paths, out, RECIPE)
    assert bytes_of(store) == corpus.expected and not reused(out) and not partial.exists()
    assert "removing what an unfinished run with --resume has kept" in capsys.readouterr().err


def test_with_nothing_to_go_on_with_it_begins_and_says_so(
    corpus: Corpus, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert goes_on(corpus, out) == {}
    assert "no unfinished run to go on with" in capsys.readouterr().err
    shutil.rmtree(out)
    # A run without the option leaves nothing to go on with.
    (out.parent / ".store.partial" / "work" / "finished").mkdir(parents=True)
    assert goes_on(corpus, out) == {}


def test_a_run_that_fails_before_a_task_has_finished_leaves_nothing(
    corpus: Corpus, out: Path, tmp_path: Path
) -> None:
    broken = write_reviews(tmp_path / "broken.json", [{"reviewText": "much", "overall": 9}] * 9)
    (tmp_path / "gone.json").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"gone\.json"):
        run([str(tmp_path / "gone.json")], out, RECIPE, resume=True)
    assert not list(out.parent.iterdir())
    with pytest.raises(UserError, match="cannot be read"):
        run([broken], out, resume=True)
    assert [path.name for path in out.parent.iterdir()] == [".store.partial"]


def test_two_runs_at_once_are_refused(
    corpus: Corpus, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(THIRD, corpus, out)
    monkeypatch.setattr("mapreduce.run_folders.LOCK_S", 0.2)
    lock = out.parent / ".store.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=f"another prepare is writing {out}"):
            run(corpus.paths, out, RECIPE, resume=True)
    assert goes_on(corpus, out) == {"gather": {"tasks": 3}}


def test_a_lock_whose_file_its_last_holder_has_just_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, removed = tmp_path / "lock", list[None]()

    def lock_late(file: IO[Any], wait: bool) -> bool:
        if not removed:
            removed.append(path.unlink())
        return lock_file(file, wait)

    monkeypatch.setattr("mapreduce.run_folders.lock_file", lock_late)
    lock = _locked(path, 0)
    assert lock is not None and removed
    with lock:
        assert os.path.samestat(os.fstat(lock.fileno()), path.stat())
        assert _locked(path, 0) is None


@pytest.mark.parametrize("moment", [THIRD, EndOfTask("EncodeReviews", "mapper", 1)])
def test_a_work_folder_elsewhere_is_kept_and_removed_at_the_end(
    moment: EndOfTask, corpus: Corpus, out: Path, tmp_path: Path
) -> None:
    work = tmp_path / "scratch"
    fail_at(moment, corpus, out, work_dir=str(work))
    assert len(list(work.iterdir())) == 1
    assert goes_on(corpus, out, work_dir=str(work))["gather"] in ({"tasks": 3}, JOB)
    assert not list(work.iterdir())
    shutil.rmtree(out)
    fail_at(moment, corpus, out, work_dir=str(work))
    run(corpus.paths, out, RECIPE)
    assert not list(work.iterdir())


def test_a_work_folder_at_an_address_is_kept_too(
    corpus: Corpus, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVIEWMILL_CACHE", str(tmp_path / "cache"))
    fsspec.filesystem("memory").store.clear()  # which other processes do not see
    work = "memory://bucket/scratch"

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    for function in ("merge_words", "remove_strays"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"mapreduce.prepare.{function}", stop)
            run(corpus.paths, out, RECIPE, resume=True, work_dir=work)
        assert names_below(work) and not out.exists()
    assert goes_on(corpus, out, work_dir=work) == {
        "gather": JOB, "count": JOB, "encode": {"tasks": corpus.shards}}
    assert not names_below("memory://bucket")


def test_standard_input_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reviewmill.main(["prepare", "-", "--out", "store", "--resume"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("reviewmill prepare: standard input (-) cannot be read again")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_it_went_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reviews, out = write_reviews(tmp_path / "a.json", make_reviews(300)), tmp_path / "store"
    command = ["prepare", reviews, "--out", str(out), "--resume"]

    def stop(*_: Any) -> None:
        raise UserError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("mapreduce.prepare.merge_words", stop)
        assert reviewmill.main(command) == 2
    *_, kept, last = capsys.readouterr().err.splitlines()
    assert kept == (f"prepare: what tasks have finished is kept in {tmp_path}/.store.partial; the "
                    "same command goes on with it")
    assert last == "reviewmill prepare: stopped"
    assert reviewmill.main(command) == 0
    said = capsys.readouterr()
    assert "prepare: going on with the run of " in said.err
    assert "300 records read, " in said.err and "(of the earlier run: 1 jobs)" in said.err
    assert ", in a run that went on, " in said.out and "reviews/s" not in said.out


def test_a_stamp_changes_with_the_file_wherever_it_lies(tmp_path: Path) -> None:
    for path in (str(tmp_path / "a"), "memory://bucket/a"):
        system, _ = fsspec.core.url_to_fs(path)
        system.pipe_file(path, b"abc")
        before = stamp(path)
        assert before == stamp(path) and before.startswith("of 3 bytes, ")
        system.pipe_file(path, b"abd")
        assert stamp(path) != before
    with pytest.raises(UserError, match="nothing"):
        stamp(str(tmp_path / "nothing"))


def test_only_the_first_differences_are_named() -> None:
    before: dict[str, Any] = {"a": 1, "b": None, "c": 3, "d": 4, "e": 5}
    assert differing(before, before) == ""
    assert differing(before, {"a": 2, "b": None, "f": 6}) == (
        "a was 1, now 2, c is missing, d is missing, and 2 more")


def test_a_run_that_was_killed_when_its_store_was_in_place_is_done(
    corpus: Corpus, out: Path
) -> None:
    run(corpus.paths[:1], out, RECIPE)
    moment = Call("put_in_place", has_returned=True)
    for overwrite in (True, False):
        assert killed_at(moment, corpus.paths, out, RECIPE, overwrite=overwrite) == -signal.SIGKILL
        assert (out.parent / ".store.partial").is_dir()
        with pytest.raises(UserError, match=r"made of other things: features was .* was 4, now 5"):
            run(corpus.paths, out, Recipe.of(length=5), resume=True)
        made = (out / "manifest.json").stat().st_mtime_ns
        assert bytes_of(run(corpus.paths, out, RECIPE, resume=True)) == corpus.expected
        assert (out / "manifest.json").stat().st_mtime_ns == made
        assert [path.name for path in out.parent.iterdir()] == ["store"]
        shutil.rmtree(out)


def test_the_old_store_stays_until_the_new_one_is_whole(corpus: Corpus, out: Path) -> None:
    old = bytes_of(run(corpus.paths[:1], out, RECIPE))
    assert killed_at(Call("put_in_place"), corpus.paths, out, RECIPE) == 1, "refused: not empty"
    assert bytes_of(Store(out)) == old

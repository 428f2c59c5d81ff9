"""Outputs of tasks are found again by what made them, and only when they and their files are whole.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from mapreduce.resume.finished_tasks import FOLDER, FinishedTasks, any_finished, made_by, tidy
from reviews.storage.folders import names_below

STRAY = "gathered/task-0.parcels"


class Work:
    """A work folder and the finished tasks of one job."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder / "work", folder / "store"
        self.tasks = FinishedTasks(str(self.folder), "a hash")

    def file(self, name: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes")
        return str(path)

    def finish(self, line: str, **values: Any) -> str:
        """A task that has put out one line."""
        path = self.tasks.task("mapper", None, [line])
        self.tasks.write(path, [(0, {"kind": "rows", **values})])
        return path

    def names(self) -> set[str]:
        return {name for name in names_below(str(self.folder)) if not name.startswith(FOLDER)}


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def test_a_task_is_known_by_job_stage_key_and_lines_whatever_their_order(work: Work) -> None:
    path = work.tasks.task("reducer", 3, [{"a": 1, "b": 2}, {"c": 3}])
    assert path == work.tasks.task("reducer", 3, [{"c": 3}, {"b": 2, "a": 1}])
    others = [
        work.tasks.task("mapper", 3, [{"a": 1, "b": 2}, {"c": 3}]),
        work.tasks.task("reducer", 4, [{"a": 1, "b": 2}, {"c": 3}]),
        work.tasks.task("reducer", 3, [{"a": 1, "b": 2}]),
        FinishedTasks(str(work.folder), "another").task("reducer", 3, [{"a": 1, "b": 2}, {"c": 3}]),
    ]
    assert len({path, *others}) == 5


def test_a_job_depends_on_what_is_in_its_files_and_not_on_how_many_work_on_it(
    tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a")
    other.write_text("a")
    hashed = made_by("Job", ["--words", str(one), "--threads", "1"], "run")
    assert hashed == made_by("Job", ["--words", str(other), "--threads", "2"], "run")
    other.write_text("b")
    different = [("Job", ["--words", str(other), "--threads", "1"], "run"),
                 ("Other", ["--words", str(one), "--threads", "1"], "run"),
                 ("Job", ["--words", str(one), "--threads", "1"], "another"),
                 ("Job", ["--words", str(one), "--threads", "1", "--partitions", "2"], "run")]
    assert len({hashed, *(made_by(*parts) for parts in different)}) == 5


def test_what_was_put_out_is_read_as_the_shuffle_would_have_it(work: Work) -> None:
    pairs = [(0, {"kind": "rows", "low": float("-inf"), "none": None}), ("é", [1, 2**70])]
    path = work.tasks.task("mapper", None, ["line"])
    assert work.tasks.read(path) is None and not any_finished(str(work.folder))
    work.tasks.write(path, pairs)
    assert work.tasks.read(path) == pairs and any_finished(str(work.folder))


@pytest.mark.parametrize("line", [{"kind": "error", "message": "no network"},
                                  {"kind": "no rows", "errors": ["no network"]}])
def test_an_error_is_not_kept(work: Work, line: dict[str, Any]) -> None:
    path = work.tasks.task("mapper", None, ["line"])
    work.tasks.write(path, [(0, line)])
    assert work.tasks.read(path) is None


def test_a_task_whose_files_are_gone_is_done_again(work: Work) -> None:
    kept = work.file("gathered/task-1.parcels")
    path = work.finish("line", ids=[0, 8], nested={"file": kept})
    assert work.tasks.read(path)
    Path(kept).unlink()
    assert work.tasks.read(path) is None


def test_tidying_leaves_finished_tasks_their_files_and_copies_of_the_input(work: Work) -> None:
    named = work.file("gathered/task-1.parcels")
    shard = work.store / "shards" / "part-00000.h5"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"shard")
    path = work.tasks.task("mapper", None, ["encode"])
    work.tasks.write(path, [(0, {"kind": "shard"})], [str(shard)])
    work.finish("gather", file=named)
    job = work.tasks.job([b"gather"])
    work.tasks.write(job, [(0, {"kind": "partition", "file": named})])
    for name in (STRAY, "inputs/0-reviews.json", "GatherReviews/output/part-0", "failures/1.txt",
                 f"{FOLDER}/.half-written.json.x"):
        work.file(name)
    assert tidy(str(work.folder), str(work.store), "inputs") == 2
    assert work.names() == {"gathered/task-1.parcels", "inputs/0-reviews.json"}
    # Engines refuse to write into a folder that is there.
    assert not (work.folder / "GatherReviews").exists()
    assert work.tasks.read(path) and work.tasks.read(job)
    assert not list((work.folder / FOLDER).glob(".*"))


def test_where_a_file_is_gone_its_task_and_all_jobs_are_done_again(work: Work) -> None:
    gone, kept = work.file("gathered/task-1.parcels"), work.file("gathered/task-2.parcels")
    work.finish("one", file=gone)
    other = work.finish("two", file=kept)
    job = work.tasks.job([b"one", b"two"])
    work.tasks.write(job, [(0, {"kind": "partition", "file": kept})])
    Path(gone).unlink()
    assert work.tasks.read(job)
    assert tidy(str(work.folder), str(work.store), "inputs") == 1
    assert work.tasks.read(job) is None and work.tasks.read(other)
    assert work.names() == {"gathered/task-2.parcels"}


def test_a_name_of_the_users_is_no_work_file(work: Work, tmp_path: Path) -> None:
    path = work.finish("line", path=str(tmp_path / "mine.parcels"))
    assert work.tasks.read(path)
    assert json.loads(Path(path).read_bytes())["files"] == []

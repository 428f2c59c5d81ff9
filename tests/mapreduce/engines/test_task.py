"""Tasks of engines that mrjob has no runner for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mapreduce.engines.run_job import ENGINES, MOST_LINES, has_reducer_here, tasks_of
from mapreduce.engines.task import MAPPER, REDUCER, by_group, by_key, run_task, share_files
from mapreduce.engines.task_notes import complaints, last_words
from mapreduce.job import FAILURES, ReviewsJob
from reviews.storage.folders import write_whole


class Sums(ReviewsJob):
    """Sums of the values of each key."""

    def mapper(self, key: str, value: int) -> Iterator[tuple[str, int]]:
        self.increment_counter("reviews", "lines read")
        yield key, value

    def reducer(self, key: str, values: Iterator[int]) -> Iterator[tuple[str, Any]]:
        self.increment_counter("reviews", "keys", 2)
        yield key, sum(values)


def test_lines_go_through_mapper_and_reducer_and_are_counted() -> None:
    mapped = run_task(Sums, [], MAPPER, [b'"b"\t1\n', b'"a"\t2\n', b'"b"\t3\n'])
    assert mapped.counters == {("reviews", "lines read"): 3}
    groups = by_key(mapped.lines)
    assert [group[0].split(b"\t")[0] for group in groups] == [b'"a"', b'"b"']
    reduced = run_task(Sums, [], REDUCER, [line for group in groups for line in group])
    assert dict(Sums([]).parse_output(reduced.lines)) == {"a": 2, "b": 4}
    assert by_group(mapped.counters + reduced.counters) == {
        "reviews": {"lines read": 3, "keys": 4}}


def test_files_among_the_arguments_are_shared(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("length: 3\n")
    work = tmp_path / "work"
    flag, shared, rest = share_files(["--recipe-file", str(file), "--x"], str(work))
    assert (flag, rest) == ("--recipe-file", "--x")
    assert Path(shared).is_relative_to(work) and Path(shared).read_text() == "length: 3\n"


@pytest.mark.parametrize(("lines", "slots", "mappers", "each"), [
    (100, None, 25, 4),  # four shards for each task, where the cluster is not known
    (16, 1, 1, 16), (16, 2, 2, 8), (100, 2, 7, 16), (3, 8, 1, 4)])
def test_a_task_for_each_slot_unless_it_becomes_too_large(
    lines: int, slots: int | None, mappers: int, each: int
) -> None:
    tasks = tasks_of(Sums, lines, ENGINES["hadoop"], slots, reducers=2)
    assert tasks == (mappers, 2, each) and each <= MOST_LINES


def test_a_reducer_of_little_needs_no_container() -> None:
    class Little(Sums):
        REDUCES_LITTLE = True

    hadoop = ENGINES["hadoop"]
    assert has_reducer_here(Little, MOST_LINES, hadoop, 1)
    assert not has_reducer_here(Little, MOST_LINES + 1, hadoop, 1)
    assert not has_reducer_here(Little, MOST_LINES, hadoop, 2)
    assert not has_reducer_here(Sums, 1, hadoop, 1)
    assert not has_reducer_here(Little, 1, ENGINES["local"], 1)


def test_other_engines_have_a_task_for_each_line() -> None:
    assert tasks_of(Sums, 9, ENGINES["spark"], 2).mappers == 9


def test_the_last_words_are_those_of_one_failed_task(tmp_path: Path) -> None:
    assert last_words(str(tmp_path)) == ""
    write_whole(str(tmp_path / FAILURES / "1.txt"), b"\n".join(b"line %d" % n for n in range(99)))
    assert last_words(str(tmp_path)).splitlines()[-1] == "line 98"
    assert len(last_words(str(tmp_path)).splitlines()) == 12


def test_complaints_are_lines_about_errors_without_the_frames_of_java() -> None:
    heard = ["INFO: fine", "Caused by: IOException: /nowhere/python: No such file\n"
             "at org.apache.spark.SparkException.x(Y.scala:1)", "task failed", "task failed"]
    assert complaints(heard) == (
        "Caused by: IOException: /nowhere/python: No such file\ntask failed")

"""Partition files: rows of several tasks whose word ids stay where the tasks wrote them."""

import tempfile
from collections import Counter
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce.count_words import count_words
from mapreduce.job_lines import RowsLine
from mapreduce.partitions.common_words import NO_COMMON_WORDS, CommonWords
from mapreduce.partitions.partition import Partition
from reviews.errors import UserError
from reviews.storage.work_files import WorkFileWriter, read_bytes

texts = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1), min_size=1, max_size=5)


def parcel(
    writer: WorkFileWriter, rows: list[list[str]], kind: type, common: CommonWords
) -> RowsLine:
    """Line of a task about these reviews, with ids of that type."""
    known = common.words.to_pylist()
    own = list(dict.fromkeys(word for row in rows for word in row if word not in known))
    words = [*known, *own]
    sizes = pa.array([len(row) for row in rows], pa.int32())
    tables = writer.write(pa.table({"word": pa.array(own, pa.string())}), pa.table({"size": sizes}))
    ids = writer.write_bytes(np.array([words.index(word) for row in rows for word in row], kind))
    return {"kind": "rows", **tables, "common": common.name,
            "ids": [ids["offset"], ids["length"], np.dtype(kind).itemsize]}


def partition_of(
    tasks: list[tuple[list[list[str]], type]], folder: str, common: CommonWords = NO_COMMON_WORDS
) -> Partition:
    """The partition of all tasks, written to the folder and read again."""
    parcels = []
    for rows, kind in tasks:
        writer = WorkFileWriter(folder, "task")
        parcels.append(parcel(writer, rows, kind, common))
        writer.close()
    writer = WorkFileWriter(folder, "partition")
    location = Partition.of(parcels, common).write(writer)
    writer.close()
    return Partition.read(location, common)


@pytest.mark.parametrize("remote", [False, True], ids=["disk", "address"])
@given(tasks=st.lists(st.tuples(texts, st.sampled_from([np.uint16, np.int32])), min_size=1),
       known=st.lists(st.sampled_from("abcdefghxyz"), unique=True), data=st.data())
def test_every_row_has_the_words_that_its_task_gave_it(
    remote: bool, tasks: list[tuple[list[list[str]], type]], known: list[str], data: st.DataObject
) -> None:
    common = CommonWords(pa.array(known, pa.string()))
    every = [row for rows, _ in tasks for row in rows]
    chosen = data.draw(st.lists(st.integers(0, len(every) - 1), unique=True))
    with tempfile.TemporaryDirectory() as folder:
        found = partition_of(tasks, f"memory://{uuid4()}" if remote else folder, common)
        assert list(found.texts(range(len(every)))) == every
        own = found.words.to_pylist()
        assert sorted(own) == sorted({word for row in every for word in row} - {*known})
        counts, of_common = count_words(found, np.array(chosen, np.int64))
        wanted = Counter(word for row in chosen for word in every[row])
        assert dict(zip(own + known, [*counts.tolist(), *of_common.tolist()], strict=True)) == {
            word: wanted[word] for word in own + known}


def test_another_list_of_common_words_than_that_of_the_task_is_refused() -> None:
    common = CommonWords(pa.array(["a"]))
    with tempfile.TemporaryDirectory() as folder:
        writer = WorkFileWriter(folder, "task")
        line = parcel(writer, [["a", "b"]], np.uint16, common)
        writer.close()
        assert list(Partition.of([line], common).texts([0])) == [["a", "b"]]
        for other in (NO_COMMON_WORDS, CommonWords(pa.array(["b"]))):
            with pytest.raises(UserError, match="not the list that job 1 had"):
                Partition.of([line], other)


def test_on_a_disk_ids_stay_in_the_files_of_the_tasks_and_elsewhere_they_come_along() -> None:
    tasks = [([["a", "b"]], np.uint16), ([["b"], ["c", "a"]], np.uint16)]
    with tempfile.TemporaryDirectory() as folder:
        there = partition_of(tasks, folder).sources.to_pylist()
        assert all(Path(source["file"]).name.startswith("task-") for source in there)
    elsewhere = partition_of(tasks, f"memory://{uuid4()}").sources.to_pylist()
    assert len({source["file"] for source in elsewhere}) == 1
    first, second = elsewhere
    # One request has them all.
    assert second["offset"] == first["offset"] + first["length"]
    assert np.frombuffer(read_bytes(first), np.uint16).tolist() == [0, 1]

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
from mapreduce.partitions.partition import Partition
from reviews.storage.work_files import WorkFileWriter, read_bytes

texts = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1), min_size=1, max_size=5)


def parcel(writer: WorkFileWriter, rows: list[list[str]], kind: type) -> RowsLine:
    """Line of a task about these reviews, with ids of that type."""
    words = list(dict.fromkeys(word for row in rows for word in row))
    sizes = pa.array([len(row) for row in rows], pa.int32())
    tables = writer.write(pa.table({"word": words}), pa.table({"size": sizes}))
    ids = writer.write_bytes(np.array([words.index(word) for row in rows for word in row], kind))
    return {"kind": "rows", **tables,
            "ids": [ids["offset"], ids["length"], np.dtype(kind).itemsize]}


def partition_of(tasks: list[tuple[list[list[str]], type]], folder: str) -> Partition:
    """The partition of all tasks, written to the folder and read again."""
    parcels = []
    for rows, kind in tasks:
        writer = WorkFileWriter(folder, "task")
        parcels.append(parcel(writer, rows, kind))
        writer.close()
    writer = WorkFileWriter(folder, "partition")
    location = Partition.of(parcels).write(writer)
    writer.close()
    return Partition.read(location)


@pytest.mark.parametrize("remote", [False, True], ids=["disk", "address"])
@given(tasks=st.lists(st.tuples(texts, st.sampled_from([np.uint16, np.int32])), min_size=1),
       data=st.data())
def test_every_row_has_the_words_that_its_task_gave_it(
    remote: bool, tasks: list[tuple[list[list[str]], type]], data: st.DataObject
) -> None:
    every = [row for rows, _ in tasks for row in rows]
    chosen = data.draw(st.lists(st.integers(0, len(every) - 1), unique=True))
    with tempfile.TemporaryDirectory() as folder:
        found = partition_of(tasks, f"memory://{uuid4()}" if remote else folder)
        assert list(found.texts(range(len(every)))) == every
        assert sorted(found.words.to_pylist()) == sorted({word for row in every for word in row})
        counts = count_words(found, np.array(chosen, np.int64))
        wanted = Counter(word for row in chosen for word in every[row])
        assert dict(zip(found.words.to_pylist(), counts.tolist(), strict=True)) == {
            word: wanted[word] for word in found.words.to_pylist()}


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

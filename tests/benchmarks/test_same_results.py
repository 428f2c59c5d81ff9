"""Two lists of results are compared name by name; hashes are those of contents."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.same_results import (
    differences,
    main,
    store_hashes,
    tensor_hashes,
    write_inputs,
)


def test_equal_results_have_no_differences() -> None:
    assert differences({"a": "1", "b": {"c": 2}}, {"b": {"c": 2}, "a": "1"}) == []


def test_a_difference_is_named_with_its_path_and_both_values() -> None:
    before = {"store": {"shard": "one", "recipe": {"seed": 0}}, "old": "1"}
    after = {"store": {"shard": "two", "recipe": {"seed": 0, "new": 1}}, "later": "1"}
    assert differences(before, after) == [
        "store: shard: one before, two after", "store: recipe: new: only after",
        "old: only before", "later: only after",
    ]


@pytest.mark.parametrize("loss, status", [(0.5, 0), (0.25, 1)])
def test_comparing_files_ends_with_1_where_they_differ(
    loss: float, status: int, tmp_path: Path
) -> None:
    for name, value in (("before", 0.5), ("after", loss)):
        (tmp_path / name).write_text(json.dumps({"training": {"loss": value}}))
    assert main(["--compare", str(tmp_path / "before"), str(tmp_path / "after")]) == status


def test_tensors_are_hashed_one_by_one_whatever_the_metadata(tmp_path: Path) -> None:
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2)}
    save_file(tensors, tmp_path / "one", {"version": "1"})
    save_file({**tensors, "b": np.zeros(2)}, tmp_path / "other")
    one, other = tensor_hashes(tmp_path / "one"), tensor_hashes(tmp_path / "other")
    assert one.keys() == {"tensor a", "tensor b"}
    assert one["tensor a"] == other["tensor a"] and one["tensor b"] != other["tensor b"]
    assert one["tensor a"].startswith("F32 [2, 3] ")


def test_inputs_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_inputs(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 4
    assert [(tmp_path / "one" / name).read_bytes() for name in files] == [
        (tmp_path / "other" / name).read_bytes() for name in files]


def test_what_tells_how_a_run_went_is_no_part_of_a_store(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"recipe": {}, "length": 2}')
    (tmp_path / "vocabulary.txt").write_text("tea\n")
    before = store_hashes(tmp_path)
    for name in ("prepare.json", "dask-report.html"):
        (tmp_path / name).write_text("12.5 s")
    assert store_hashes(tmp_path) == before
    (tmp_path / "vocabulary.txt").write_text("cup\n")
    assert store_hashes(tmp_path) != before

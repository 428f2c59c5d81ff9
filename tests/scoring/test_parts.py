"""A folder of predictions in parts: the rows of one file, and a later start goes on with it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import reviewmill
from reviews.errors import UserError
from reviews.generate import generate
from scoring.files import Position, Scored, Tally
from scoring.parts import write_parts
from scoring.score import ScoreOptions, score_files
from tests.scoring.bundles import TEXTS, make_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model"), "lstm")[0]


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """Four files of one stretch each; the last has a bad record."""
    (tmp_path / "in").mkdir()
    for number in range(4):
        lines = [json.dumps({"text": text}) for text in TEXTS] + ["{broken"] * (number == 3)
        (tmp_path / "in" / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return [str(tmp_path / "in")]


def score(
    model: Path, inputs: list[str], out: Path | str, part_bytes: int = 1, **options: Any
) -> Tally:
    return score_files(str(model), inputs, str(out), ScoreOptions(**options), {}, part_bytes)


def parts_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("part-*"))


def rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


@pytest.mark.parametrize("workers", [1, 3])
def test_parts_have_the_rows_of_one_file_in_its_order(
    model: Path, inputs: list[str], tmp_path: Path, workers: int
) -> None:
    score(model, inputs, tmp_path / "one.parquet")
    tally = score(model, inputs, tmp_path / "parts", workers=workers)
    assert parts_of(tmp_path / "parts") == [f"part-0000{n}.parquet" for n in range(4)]
    assert rows(tmp_path / "parts") == rows(tmp_path / "one.parquet")
    assert (tally.records, tally.scored, dict(tally.bad)) == (41, 40, {"invalid_json": 1})
    assert (tmp_path / "parts" / "_SUCCESS").exists()


def test_a_part_holds_as_much_input_as_it_may(
    model: Path, inputs: list[str], tmp_path: Path
) -> None:
    size = (tmp_path / "in" / "0.jsonl").stat().st_size
    score(model, inputs, tmp_path / "parts", part_bytes=size + 1)
    assert parts_of(tmp_path / "parts") == ["part-00000.parquet", "part-00001.parquet"]


def test_a_compressed_file_is_cut_into_parts_as_well(model: Path, tmp_path: Path) -> None:
    generate(tmp_path / "in.json.gz", 6000)
    score(model, [str(tmp_path / "in.json.gz")], tmp_path / "one.parquet")
    score(model, [str(tmp_path / "in.json.gz")], tmp_path / "parts")
    assert len(parts_of(tmp_path / "parts")) > 1
    assert rows(tmp_path / "parts") == rows(tmp_path / "one.parquet")
    before = {path.name: path.stat().st_ino for path in (tmp_path / "parts").iterdir()}
    last = parts_of(tmp_path / "parts")[-1]
    for name in (last, "_SUCCESS"):
        (tmp_path / "parts" / name).unlink()
    score(model, [str(tmp_path / "in.json.gz")], tmp_path / "parts", resume=True)
    assert rows(tmp_path / "parts") == rows(tmp_path / "one.parquet")
    kept = {path.name: path.stat().st_ino for path in (tmp_path / "parts").iterdir()}
    assert {name for name in before if before[name] == kept[name]} >= {"part-00000.parquet"}


def test_a_later_start_goes_on_after_the_last_part(
    model: Path, inputs: list[str], tmp_path: Path
) -> None:
    score(model, inputs, tmp_path / "one.parquet")
    out = tmp_path / "parts"
    score(model, inputs, out)
    earlier = [(out / name).stat().st_ino for name in parts_of(out)][:2]
    for name in ("part-00002.parquet", "part-00003.parquet", "_SUCCESS"):
        (out / name).unlink()
    (out / ".part-00002.parquet.abc").write_bytes(b"half")  # as a kill leaves it
    tally = score(model, inputs, out, resume=True)
    assert [(out / name).stat().st_ino for name in parts_of(out)][:2] == earlier
    assert rows(out) == rows(tmp_path / "one.parquet")
    assert (tally.records, tally.scored, dict(tally.bad)) == (41, 40, {"invalid_json": 1})
    assert not list(out.glob(".part*"))
    assert score(model, inputs, out, resume=True).scored == 40  # nothing is left to do
    assert [(out / name).stat().st_ino for name in parts_of(out)][:2] == earlier


def test_an_error_leaves_whole_parts_alone(tmp_path: Path) -> None:
    schema = pa.schema([("label", pa.string())])
    rows = pa.record_batch([["positive"]], schema=schema)

    def scored() -> Iterator[Scored]:
        yield Scored([rows], 1, Position(0, 1, 1))
        yield Scored([rows], 1, Position(0, 2, 2))
        raise UserError("damaged")

    with pytest.raises(UserError):
        write_parts(str(tmp_path), scored(), schema, Tally(), 5, part_bytes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["part-00005.parquet"]


def test_resume_begins_where_nothing_is(model: Path, inputs: list[str], tmp_path: Path) -> None:
    assert score(model, inputs, tmp_path / "parts", resume=True).scored == 40


def test_only_the_same_scoring_goes_on(model: Path, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "parts"
    score(model, inputs, out)
    with pytest.raises(UserError, match="exists already; --resume goes on with it"):
        score(model, inputs, out)
    with pytest.raises(UserError, match="begun with other options"):
        score(model, inputs, out, resume=True, threshold=0.3)
    other = make_bundle(tmp_path / "other", "gru")[0]
    with pytest.raises(UserError, match="begun with other model"):
        score(other, inputs, out, resume=True)
    with (tmp_path / "in" / "0.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="begun with other inputs"):
        score(model, inputs, out, resume=True)
    score(model, inputs[:1], out, overwrite=True, threshold=0.0)
    assert {row["label"] for row in rows(out)} == {"positive"}


def test_a_folder_of_something_else_is_left_alone(
    model: Path, inputs: list[str], tmp_path: Path
) -> None:
    for more in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(UserError, match="no folder of predictions"):
            score(model, inputs, tmp_path / "in", **more)
    assert len(list((tmp_path / "in").iterdir())) == 4


def test_a_part_that_is_none_is_named(model: Path, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "parts"
    score(model, inputs, out)
    (out / "part-00003.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"part-00003.parquet is no part"):
        score(model, inputs, out, resume=True)


def test_an_address_gets_parts_too(model: Path, inputs: list[str]) -> None:
    from reviews.storage.folders import names_below

    out = "memory://predictions"
    score(model, inputs, out)
    assert set(names_below(out)) == {"_SUCCESS", "_scoring.json",
                                     *(f"part-0000{n}.parquet" for n in range(4))}
    assert score(model, inputs, out, resume=True).scored == 40


def test_options_that_exclude_each_other_are_one_line(
    model: Path, inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["score", str(model), *inputs, "--out", str(tmp_path / "out"), "--resume"]
    assert reviewmill.main([*line, "--overwrite"]) == 2
    assert "neither --overwrite nor --summary" in capsys.readouterr().err
    line[line.index(str(tmp_path / "out"))] += ".csv"
    assert reviewmill.main(line) == 2
    assert "--resume is for a folder of parts" in capsys.readouterr().err

"""Inputs become splits: which files are meant, and how they may be cut."""

import errno
import gzip
import os
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reviews.corpora import InputSplit, plan_splits, raw_bytes
from reviews.errors import UserError
from reviews.recipe import Recipe
from tests.reviews.corpora.reading import WHOLE, json_lines, read, read_splits, review

# Lines of very different lengths, some blank, two with records that are bad.
LINES = [
    *json_lines([review("x" * (n * n % 97), n % 5 + 1) for n in range(30)]).splitlines(),
    b"", b"\r", b'{"text": 5, "rating": 5}', b"   ", b"broken", b"{}" + b" " * 300, b"",
]  # fmt: skip
FASTTEXT = [b"__label__%d %s" % (n % 2 + 1, b"y" * (n * 7 % 50)) for n in range(30)]

TABLE = [b'"say ""%s""",%d' % (b"z" * (n * 7 % 50), n % 5 + 1) for n in range(30)]
TABLE += [b"", b'"a,b",3', b"\r", b'"open,4', b"x,y,z", b"fine,9"]


def cut(path: Path, bounds: list[int], format: str) -> list[InputSplit]:
    size = path.stat().st_size
    places = [0, *sorted({b for b in bounds if 0 < b < size}), size]
    return [InputSplit(str(path), first, last - first, format) for first, last in pairwise(places)]


@settings(max_examples=150)
@given(
    st.sampled_from(["jsonl", "fasttext", "csv"]),
    st.lists(st.integers(1, 3000)),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.integers(0, 2**32),
)
@example("jsonl", list(range(3000)), b"\n", True, 0)
@example("fasttext", list(range(1, 3000, 2)), b"\r\n", False, 0)
def test_any_cutting_of_a_plain_file_gives_every_record_once(
    tmp_path_factory: pytest.TempPathFactory,
    format: str,
    bounds: list[int],
    end: bytes,
    ended: bool,
    order: int,
) -> None:
    lines = list({"jsonl": LINES, "fasttext": FASTTEXT, "csv": TABLE}[format])
    random.Random(order).shuffle(lines)
    if format == "csv":
        lines.insert(0, b"text,rating")
    path = tmp_path_factory.getbasetemp() / "input"
    path.write_bytes(end.join(lines) + end * ended)
    recipe = Recipe.of(quoted_newlines=False)
    whole = read_splits([InputSplit(str(path), 0, -1, format)], recipe)
    parts = read_splits(cut(path, bounds, format), recipe)
    assert whole.records >= 30
    assert parts.reviews == whole.reviews
    assert (parts.records, parts.bad) == (whole.records, whole.bad)
    assert parts.size == whole.size == path.stat().st_size


def test_one_cut_at_any_byte_gives_every_record_once(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"\n".join(FASTTEXT[:8]) + b"\n\n")
    texts = [line.decode()[len("__label__1 ") :] for line in FASTTEXT[:8]]
    for place in range(1, path.stat().st_size):
        assert read_splits(cut(path, [place], "fasttext")).texts == texts


def test_a_byte_order_mark_is_looked_for_at_the_start_of_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "input"
    mark = b"\xef\xbb\xbf"
    path.write_bytes(mark + json_lines([review("one")]) + mark + json_lines([review("two")] * 9))
    for length in (5, 35, 1000):
        found = read_splits(plan_splits([str(path)], Recipe(), length), Recipe())
        assert found.texts == ["one", *["two"] * 8]
        assert found.bad == {"invalid_json": 1}


@settings(max_examples=50)
@given(st.integers(1, 4000))
def test_planned_splits_cover_a_file_without_gap_or_overlap(
    tmp_path_factory: pytest.TempPathFactory, split_bytes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "input"
    path.write_bytes(b"\n".join(LINES))
    splits = plan_splits([str(path)], WHOLE, split_bytes)
    places = [split.offset for split in splits]
    assert places == list(range(0, path.stat().st_size, split_bytes))
    assert all(split.length <= split_bytes for split in splits)
    assert raw_bytes(splits) == path.stat().st_size
    assert read_splits(splits).reviews == read(path).reviews


def test_only_plain_files_of_lines_are_cut(tmp_path: Path) -> None:
    lines = json_lines([review()] * 50)
    contents = {
        "lines.gz": gzip.compress(lines),
        "objects": lines.replace(b", ", b",\n"),
        "table": b"text,rating\n" + b"fine,5\n" * 50,
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
        splits = plan_splits([str(tmp_path / name)], Recipe(), 100)
        assert [(split.offset, split.length) for split in splits] == [(0, -1)]
        # Of a gzipped file it is a guess, right where there is one member.
        assert raw_bytes(splits) == max(len(lines) if name.endswith(".gz") else 0, len(data))


def corpus(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = json_lines([review(f"{name} {n}") for n in range(3)])
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def files_of(folder: Path, *inputs: str) -> list[str]:
    splits = plan_splits([str(folder / name) for name in inputs], Recipe())
    return [os.path.relpath(split.path, folder) for split in splits]


def test_a_folder_means_all_files_below_it_but_hidden_ones(tmp_path: Path) -> None:
    corpus(tmp_path, ["b/2.json", "b/1.json.gz", "a.json", "b/c/d", ".hidden", ".git/x", "b/.tmp"])
    assert files_of(tmp_path, "") == ["a.json", "b/1.json.gz", "b/2.json", "b/c/d"]
    assert files_of(tmp_path, "b", "a.json") == ["b/1.json.gz", "b/2.json", "b/c/d", "a.json"]


def test_globs_mean_the_files_and_folders_that_match(tmp_path: Path) -> None:
    corpus(tmp_path, ["x1.json", "x2.json.gz", "y.json", "x3/in.json", "odd[1].json"])
    assert files_of(tmp_path, "x*") == ["x1.json", "x2.json.gz", "x3/in.json"]
    assert files_of(tmp_path, "**/*.json") == ["odd[1].json", "x1.json", "x3/in.json", "y.json"]
    # What exists under its very name is that file, whatever the name would match.
    assert files_of(tmp_path, "odd[1].json") == ["odd[1].json"]


def test_the_order_of_inputs_does_not_matter_to_the_set_of_reviews(tmp_path: Path) -> None:
    names = [f"{n}.json" for n in range(4)]
    corpus(tmp_path, names)
    readings = []
    for order in (names, names[::-1]):
        splits = plan_splits([str(tmp_path / name) for name in order], Recipe(), 70)
        readings.append(read_splits(splits))
    first, second = readings
    assert first.texts != second.texts
    assert Counter(first.texts) == Counter(second.texts)
    assert len(first.texts) == 12


def test_a_file_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    corpus(tmp_path, ["x.json"])
    with pytest.raises(UserError, match=r"x\.json: given twice"):
        files_of(tmp_path, "x.json", "*.json")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.json", "nothing.json: no such file or folder"),
        ("nothing*.json", "nothing*.json: matches no file"),
        ("empty", "empty: a folder without files"),
        ("hidden", "hidden: a folder without files"),
        ("dangling", "dangling: No such file or directory"),
    ],
)
def test_an_input_that_is_not_there_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    corpus(tmp_path, ["hidden/.x"])
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError) as error:
        files_of(tmp_path, name)
    assert str(error.value).endswith(message)
    assert "\n" not in str(error.value)


def test_nothing_below_a_folder_is_left_out_in_silence(tmp_path: Path) -> None:
    corpus(tmp_path, ["elsewhere/1.json", "folder/2.json"])
    link = tmp_path / "folder" / "link"
    link.symlink_to(tmp_path / "elsewhere")
    assert files_of(tmp_path, "folder") == ["folder/2.json", "folder/link/1.json"]
    again = tmp_path / "folder" / "link2"
    again.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"folder/link2?: a link to a folder that is read already"):
        files_of(tmp_path, "folder")
    again.unlink()
    again.symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match="folder/link2: No such file or directory"):
        files_of(tmp_path, "folder")


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus(tmp_path, ["a.json", "closed/b.json"])

    def scan(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return found(path)

    found = os.scandir
    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(UserError, match="closed: Permission denied"):
        files_of(tmp_path, ".")


def test_a_pipe_is_refused_before_anything_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: a pipe, which can be read once"):
        files_of(tmp_path, "pipe")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.json")
    corpus(tmp_path, [name])
    with pytest.raises(UserError, match=r"caf\\udce9\.json': names of files have to be UTF-8"):
        files_of(tmp_path, name)


def test_no_input_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="no input"):
        plan_splits([], Recipe())

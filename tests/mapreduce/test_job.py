"""A job that is run by hand says in one line what is wrong with its input, by its status too."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from mapreduce.job import LinesOfJobs, split_of
from reviews.corpora import InputSplit
from reviews.errors import UserError

REVIEWS = '{"text": "good", "rating": 5}\n{"text": "bad", "rating": 1}\n'


def by_hand(job: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"mapreduce.{job}", "--quiet", *map(str, arguments)],
        capture_output=True, text=True, check=False)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.jsonl"
    path.write_text(REVIEWS)
    return path


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_input_that_cannot_be_read_is_a_line_and_a_status(tmp_path: Path, runner: str) -> None:
    (tmp_path / "files").write_text(f"{tmp_path}/missing, file.json\n")
    done = by_hand("gather_reviews", "-r", runner, "--work-dir", tmp_path / "work",
                   tmp_path / "files")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("mapreduce.gather_reviews: ")
    assert "missing, file.json" in line
    assert "no such file or folder" in line


def test_a_data_file_in_place_of_a_list_of_files_is_one_line(
    tmp_path: Path, reviews: Path
) -> None:
    packed = tmp_path / "reviews.jsonl.gz"
    packed.write_bytes(gzip.compress(REVIEWS.encode()))
    table = tmp_path / "reviews.csv"
    table.write_text("text,rating\ngood,5\n")
    for data in (reviews, packed, table):
        done = by_hand("gather_reviews", "--work-dir", tmp_path / "work", data)
        assert done.returncode == 2, done.stderr
        assert "list of files" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    for job, more in [("count_words", []), ("encode_reviews", ["--words", str(reviews),
                                                               "--store", str(tmp_path / "s")])]:
        done = by_hand(job, "--work-dir", tmp_path / "work", "--gathered", reviews, *more, reviews)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_list_of_files_is_read_with_status_0(tmp_path: Path, reviews: Path) -> None:
    (tmp_path / "files").write_text(f"{reviews}\n")
    done = by_hand("gather_reviews", "--work-dir", tmp_path / "work", tmp_path / "files")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_line_that_describes_a_split_may_say_more() -> None:
    line = '{"path": "a", "offset": 0, "length": -1, "format": "csv", "role": "test"}'
    assert split_of(line) == (InputSplit("a", 0, -1, "csv"), {"role": "test"})


@pytest.mark.parametrize("line", ['{"text": "good"}', "[]", "plain", "{", "5", "null"])
def test_another_line_is_named(line: str) -> None:
    with pytest.raises(UserError, match="neither the path of a file nor an input split"):
        split_of(line)
    with pytest.raises(UserError, match="no line of an earlier job's output"):
        LinesOfJobs().read(line.encode())

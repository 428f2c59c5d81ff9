"""Common words: those of a sample, which no store depends on."""

import io
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from mapreduce.gather_reviews import GatherReviews
from mapreduce.partitions.common_words import NO_COMMON_WORDS, CommonWords, sample_words
from mapreduce.prepare import descriptors
from reviews.corpora import plan_splits
from reviews.errors import UserError
from reviews.recipe import Recipe
from reviews.storage.work_files import read_tables
from tests.mapreduce.corpus import make_reviews, write_reviews


def test_the_words_of_the_sample_come_the_most_frequent_first(tmp_path: Path) -> None:
    rows = [{"reviewText": text, "overall": 5.0}
            for text in ("tea tea tea cup", "cup tea once", "bad bad", "bad ale ale")]
    path = write_reviews(tmp_path / "reviews.json", rows)
    found = sample_words({"corpus": plan_splits([path], Recipe())}, Recipe())
    assert found.words.to_pylist() == ["tea", "bad", "ale", "cup"]  # "once" occurs once


def test_splits_of_every_file_are_in_the_sample_and_one_that_is_gone_is_left_to_job_1(
    tmp_path: Path,
) -> None:
    paths = [write_reviews(tmp_path / f"{word}.json",
                           [{"reviewText": f"{word} {word}", "overall": 5.0}])
             for word in ("tea", "cup", "ale")]
    splits = plan_splits(paths, Recipe())
    Path(paths[1]).unlink()
    found = sample_words({"corpus": splits[:2], "test": splits[2:]}, Recipe())
    assert found.words.to_pylist() == ["ale", "tea"]


def test_a_list_is_read_as_it_was_written_and_has_a_name_of_its_own(tmp_path: Path) -> None:
    words = CommonWords(pa.array(["tea", "caf\u00e9", "a\nb"]))
    read = CommonWords.read(words.write(tmp_path / "words.json"))
    assert read == words and read.name == words.name != NO_COMMON_WORDS.name
    assert words.numbers(pa.array(["a\nb", "cup", "tea"])).tolist() == [2, -1, 0]
    assert NO_COMMON_WORDS.numbers(pa.array(["tea"])).tolist() == [-1]


@pytest.mark.parametrize("content", ["[1]", "{}", "tea", '["tea"'])
def test_what_is_no_list_of_words_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(content)
    with pytest.raises(UserError, match=r"words\.json: no list of common words"):
        CommonWords.read(tmp_path / "words.json")


def test_the_parcels_of_a_task_have_lists_of_the_other_words_alone(tmp_path: Path) -> None:
    path = write_reviews(tmp_path / "reviews.json", make_reviews(200))
    (tmp_path / "recipe.yaml").write_text(Recipe().to_yaml())
    [split] = descriptors({"corpus": plan_splits([path], Recipe())})
    common = CommonWords(pa.array(["good", "tea", "elsewhere"]))

    def words_of_parcels(*more: str) -> list[set[str]]:
        out = io.BytesIO()
        job = GatherReviews(["--mapper", "--step-num=0", "--partitions", "3", "--recipe-file",
                             str(tmp_path / "recipe.yaml"), "--work-dir", str(tmp_path), *more])
        job.sandbox(io.BytesIO(split), out).execute()
        lines = [orjson.loads(line.split(b"\t")[1]) for line in out.getvalue().splitlines()]
        return [{*read_tables(line)[0]["word"].to_pylist()}
                for line in lines if line["kind"] == "rows"]

    every = words_of_parcels()
    some = words_of_parcels("--common-words", str(common.write(tmp_path / "words.json")))
    assert len(every) == 3
    assert some == [words - {"good", "tea"} for words in every] != every

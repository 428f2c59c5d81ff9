"""Two attempts of every task at once, as engines speculate, give one result."""

import io
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import orjson
from mrjob.job import MRJob

from mapreduce.count_words import CountWords
from mapreduce.encode_reviews import EncodeReviews
from mapreduce.gather_reviews import GatherReviews
from mapreduce.prepare import descriptors
from reviews.corpora import plan_splits
from reviews.recipe import Recipe
from reviews.storage.verify import verify_store
from reviews.store import Store
from tests.mapreduce.corpus import bytes_of, make_reviews, run, write_reviews


def attempt(job: type[MRJob], task: str, arguments: Sequence[str | Path], given: bytes) -> bytes:
    """Output of one attempt of a task, run as engines run it."""
    out = io.BytesIO()
    running = job([f"--{task}", "--step-num=0", *map(str, arguments)])
    running.sandbox(io.BytesIO(given), out).execute()
    return out.getvalue()


def attempts(
    job: type[MRJob], task: str, arguments: Sequence[str | Path], given: bytes
) -> list[bytes]:
    """Outputs of two attempts of one task that run at the same time."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        both = [pool.submit(attempt, job, task, arguments, given) for _ in range(2)]
        return [one.result(timeout=60) for one in both]


def sorted_lines(data: bytes) -> bytes:
    """Lines in the order of an engine's shuffle."""
    return b"".join(sorted(data.splitlines(keepends=True)))


def test_two_attempts_of_every_task_make_the_store_of_one(tmp_path: Path) -> None:
    path = write_reviews(tmp_path / "reviews.json", make_reviews(2000))
    recipe = Recipe.of(length=4)
    expected = bytes_of(run([path], tmp_path / "expected", recipe))
    work, store = tmp_path / "work", tmp_path / "store"
    work.mkdir()
    (work / "recipe.yaml").write_text(recipe.to_yaml())
    common = ["--recipe-file", work / "recipe.yaml"]
    [split] = descriptors({"corpus": plan_splits([path], recipe)})

    # The first attempt of a mapper wins, the second one of a reducer.
    gather = [*common, "--work-dir", work]
    places = attempts(GatherReviews, "mapper", gather, split)
    assert places[0] != places[1], "attempts write files of their own"
    gathered = attempts(GatherReviews, "reducer", gather, sorted_lines(places[0]))[1]
    (tmp_path / "gathered").write_bytes(gathered)
    count = [*gather, "--gathered", tmp_path / "gathered"]
    counted = attempts(CountWords, "mapper", count, gathered)[0]
    words = attempts(CountWords, "reducer", count, sorted_lines(counted))[1]
    (tmp_path / "words").write_bytes(words)
    encode = [*common, "--gathered", tmp_path / "gathered", "--words", tmp_path / "words",
              "--store", store]
    shards = attempts(EncodeReviews, "mapper", encode, gathered)
    assert shards[0] == shards[1]
    done = attempts(EncodeReviews, "reducer", encode, sorted_lines(shards[0]))
    assert done[0] == done[1] and orjson.loads(done[0].split(b"\t")[1])["read"] == 2000
    assert bytes_of(Store(store)) == expected
    assert not list(verify_store(Store(store)))

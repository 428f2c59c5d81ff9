"""Paths of any characters, in every option that takes one, on every runner of one machine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import reviewmill
from cluster.mpirun import find_mpirun
from reviews.errors import UserError
from reviews.store import Store
from tests.mapreduce.corpus import bytes_of, make_reviews, write_reviews
from tests.mapreduce.engines.clusters import running_spark
from tests.requirements import need

NAMES = ["a#b", "a b", "it's", 'say "so"', "a,b", "[2018]", "*?", "ünï", "a%20b", "$HOME", "a\\b",
         "-dash", "a;b&c", "{x}", "~", "a:b=c", "!", "a#b/c#d", "(x)|y", "tab\there"]
# What mrjob, Hadoop and shells take for something else, all in one.
WORST = "#a b,c'd\"[e]*?{f}$g%h;i&j\\k:l=m"


def call(*arguments: str | Path) -> int:
    return reviewmill.main([str(argument) for argument in arguments])


def write_inputs(folder: Path, name: str) -> list[str | Path]:
    """Files below the folder, all of that name; the arguments that name them."""
    below = folder / name
    below.mkdir(parents=True)
    own = name.rsplit("/")[-1]
    write_reviews(below / f"{own}.json", make_reviews(200))
    write_reviews(below / f"{own}-test.json", make_reviews(50, seed=1))
    (below / own).write_text("good\nbad\ntea\n")
    (below / f"{own}.vec").write_text("2 2\ngood 1 2\nbad 3 4\n")
    (below / f"{own}.yaml").write_text("length: 5\n")
    # What the parts of a path before a `#` or behind a `,` would name.
    for part in ("a", "b", "x"):
        (below / part).write_text("wrong\n")
    return [below / f"{own}.json", "--test-input", below / f"{own}-test.json",
            "--vocabulary", below / own, "--vectors", below / f"{own}.vec",
            "--recipe", below / f"{own}.yaml"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("plain")
    assert call("prepare", *write_inputs(folder, "name"), "--out", folder / "store") == 0
    return bytes_of(Store(folder / "store"))


# All of these characters at once on both runners; one by one on one of them, or in soak.
@pytest.mark.parametrize(("name", "runner"), [
    *((name, "inline") for name in NAMES),
    *(pytest.param(name, "local", marks=pytest.mark.soak) for name in NAMES),
    (WORST, "inline"), (WORST, "local")])
def test_a_path_of_any_characters_is_the_file_or_folder_of_that_name(
    tmp_path: Path, expected: dict[str, bytes], name: str, runner: str
) -> None:
    store = tmp_path / name / f"{name.rsplit('/')[-1]} store"
    options = ["--runner", runner, "--workers", "1" if runner == "inline" else "2"]
    arguments = write_inputs(tmp_path, name)
    assert call("prepare", *arguments, "--out", store, *options) == 0
    assert bytes_of(Store(store)) == expected
    work = tmp_path / name / "work"
    again = ["--work-dir", work, "--overwrite", *options]
    assert call("prepare", *arguments, "--out", store, *again) == 0
    assert bytes_of(Store(store)) == expected
    assert list(work.iterdir()) == []
    assert not [path for path in store.parent.iterdir() if path.name.startswith(".")]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_spark(tmp_path_factory.mktemp("spark")) as address:
        yield address


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("runner", ["dask", "spark"])
def test_on_engines_too(
    tmp_path: Path, expected: dict[str, bytes], runner: str, request: pytest.FixtureRequest
) -> None:
    store = tmp_path / WORST / "store"
    options = ["--runner", runner, "--workers", "2"]
    if runner == "spark":
        options += ["--spark-master", request.getfixturevalue("spark")]
    assert call("prepare", *write_inputs(tmp_path, WORST), "--out", store, *options) == 0
    made = bytes_of(Store(store))
    made.pop("dask-report.html", None)
    assert made == expected


def test_globs_and_folders_of_such_names(tmp_path: Path) -> None:
    folder = tmp_path / "[in] #1, 2"
    folder.mkdir()
    for number in range(3):
        write_reviews(folder / f"part[{number}]#x.json", make_reviews(100, seed=number))
    for given in (folder, f"{tmp_path}/*in*/part*.json"):
        assert call("prepare", given, "--out", tmp_path / "store", "--overwrite") == 0
        assert Store(tmp_path / "store").manifest["records"]["read"] == 300


def test_clean_writes_to_such_a_folder(tmp_path: Path) -> None:
    path = write_reviews(tmp_path / "a#b.json", make_reviews(100))
    assert call("clean", path, "--out", tmp_path / WORST) == 0
    assert list((tmp_path / WORST).glob("*.parquet"))


def test_a_tokenizer_of_such_a_folder(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "good": 1}, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    (tmp_path / WORST).mkdir()
    made.save(str(tmp_path / WORST / "tokenizer.json"))
    path = write_reviews(tmp_path / "in.json", make_reviews(100))
    done = call("prepare", path, "--tokenizer", f"huggingface:{tmp_path / WORST}",
                "--out", tmp_path / "store")
    assert done == 0
    assert json.loads(Store(tmp_path / "store").file("tokenizer.json").read_text())


@pytest.mark.parametrize("ranks", ["1", "2"])
def test_a_model_is_trained_evaluated_and_reported_at_such_paths(
    tmp_path: Path, ranks: str
) -> None:
    if ranks == "2":
        try:
            find_mpirun()
        except UserError as error:
            need(False, str(error))
    top = tmp_path / WORST
    top.mkdir()
    path = write_reviews(top / "in.json", make_reviews(400, longest=12))
    store, run = top / "store#1", top / "run#1"
    assert call("prepare", path, "--out", store) == 0
    assert call("train", store, "--out", run, "--model", "bag", "--epochs", "1", "--keep", "last",
                "--ranks", ranks) == 0
    assert call("evaluate", run, "--store", store) == 0
    assert call("evaluate", run, "--input", path) == 0
    assert call("report", run) == 0
    assert call("inspect", store, "--verify") == 0

"""`reviewmill prepare` and `reviewmill inspect`, as a user calls them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import reviewmill
from mapreduce.engines.options import EngineOptions
from mapreduce.engines.run_job import ENGINES
from mapreduce.partitions.gather_summary import refuse_bad
from mapreduce.prepare import choose_engine, threads_of
from reviews.corpora import InputSplit, plan_splits
from reviews.errors import UserError
from reviews.options import leaves
from reviews.recipe import SPLITS, Recipe, load_recipe
from reviews.store import Store
from tests.mapreduce.corpus import make_reviews, write_reviews
from tests.stores import make_store


def call(*arguments: str | Path) -> int:
    return reviewmill.main([str(argument) for argument in arguments])


@pytest.fixture
def reviews(tmp_path: Path) -> str:
    return write_reviews(tmp_path / "reviews.json", make_reviews(300))


def test_prepare_writes_a_store_and_says_what_became_of_every_record(
    reviews: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("prepare", reviews, "--out", tmp_path / "store", "--length", "4") == 0
    store = Store(tmp_path / "store")
    assert store.length == 4
    last = capsys.readouterr().out.splitlines()
    assert last[0].startswith("300 records read; dropped: ")
    entries = list(store.manifest["splits"].values())
    unknown, words, cut, rows = (
        sum(entry[name] for entry in entries)
        for name in ("unknown_words", "words", "truncated", "rows"))
    assert last[1] == f"{unknown / words:.2%} of the words unknown, {cut / rows:.2%} cut"
    assert f"store: {store.manifest['records']['stored']} reviews, " in last[2]
    told = json.loads((store.path / "prepare.json").read_text())
    assert told["records"] == store.manifest["records"]
    assert told["bytes"] == Path(reviews).stat().st_size
    assert set(told["phases"]) == {"gather", "count", "encode"}


def test_options_are_laid_over_the_recipe_and_printed_resolved(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call("prepare", "--print-recipe", "--length", "77", "--stop-words", "b,a,b") == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    recipe = load_recipe(str(printed))
    assert recipe == load_recipe("default", {"length": 77, "stop_words": ("a", "b")})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{reviews}"], "--out STORE"),
        (["--out", "{tmp}/s"], "INPUT"),
        (["{tmp}/nothing.json", "--out", "{tmp}/s"], "nothing.json"),
        (["/dev/null", "--out", "{tmp}/s"], "/dev/null: nothing but empty files"),
        (["{reviews}", "--test-input", "/dev/null", "--out", "{tmp}/s"], "nothing but empty files"),
        (["{reviews}", "--out", "/proc/s"], "/proc cannot be written to"),
        (["{reviews}", "--out", "{reviews}/s"], "reviews.json cannot be written to"),
        (["{reviews}", "--out", "{tmp}/s", "--work-dir", "/proc/w"],
         "--work-dir /proc/w cannot be written to"),
        (["{reviews}", "--out", "{tmp}/s", "--work-dir", "{reviews}"],
         "reviews.json cannot be written to"),
        (["{reviews}", "--out", "{tmp}/s", "--workers", "0"], "--workers is 0"),
        (["{reviews}", "--out", "{tmp}/s", "--recipe", "defalt"], "did you mean default?"),
        (["{reviews}", "--out", "{tmp}/s", "--split", "1,1"], "give three numbers"),
        (["{reviews}", "--out", "{tmp}/s", "--text-field", "reviewtext"], "reviewtext"),
        (["{reviews}", "--out", "{tmp}"], "not empty"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    arguments: list[str], message: str, reviews: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [argument.format(reviews=reviews, tmp=tmp_path) for argument in arguments]
    assert call("prepare", *filled) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("reviewmill prepare: ")
    assert list(tmp_path.iterdir()) == [Path(reviews)]


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("invalid_utf8", "texts have to be UTF-8"),
        ("wrong_columns", "--no-quotes"),
        ("missing_rating", "--label-field .*--missing drop"),
        ("rating_out_of_range", "1 to 5"),
        ("unknown_label", "--label-values"),
    ],
)
def test_too_many_bad_records_are_a_message_that_says_what_may_help(reason: str, hint: str) -> None:
    bad = {"invalid_json": 1, reason: 8}
    with pytest.raises(UserError, match=f"9 of 10 .*8 {reason}.*; .*{hint}"):
        refuse_bad(10, bad, Recipe())
    refuse_bad(10, bad, Recipe.of(max_bad_fraction=0.9))


@pytest.mark.parametrize(("labels", "options", "shown"), [
    (["not recommended", "yes"], [], "'not recommended'"), ([-1, 1], [], "'-1'"),
    ([3, "2"], ["--label-values", "-1,1"], "'2'"), ([["a"], {}], [], None),
])  # fmt: skip
def test_a_label_that_means_nothing_is_shown(
    tmp_path: Path, labels: list[Any], options: list[str], shown: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"text": f"one {n}", "label": label} for n, label in enumerate(labels)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert call("prepare", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "s"), *options) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "--classes and --label-values say what labels mean" in said
    assert (f"a label such as {shown} is of no class" in said) == (shown is not None)


def test_what_was_asked_for_already_is_no_help() -> None:
    with pytest.raises(UserError, match=r"--max-bad-fraction 0\.01$"):
        refuse_bad(10, {"wrong_columns": 9}, Recipe.of(quotes=False))


def test_a_misspelt_option_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        call("prepare", "a", "--out", "b", "--lenght", "3")
    assert stop.value.code == 2
    assert "did you mean --length?" in capsys.readouterr().err


MISPLACED = {
    "--cut-above": ("1000", ["inline", "local"]),
    "--python-bin": ("/usr/bin/python3", ["inline", "local", "dask"]),
    "--spark-master": ("spark://h:1", ["inline", "local", "hadoop", "dask", "emr"]),
    "--spark-conf": ("spark.a=b", ["inline", "local", "hadoop", "dask", "emr"]),
    "--scheduler": ("tcp://h:1", ["inline", "local", "hadoop", "spark", "emr"]),
    "--emr-config": ("emr.yaml", ["inline", "local", "hadoop", "spark", "dask"]),
    "--cluster-id": ("j-1", ["inline", "local", "hadoop", "spark", "dask"]),
}


def test_every_runner_that_can_be_named_has_an_engine() -> None:
    [runner] = [leaf.option for leaf in leaves(EngineOptions) if leaf.name == "runner"]
    assert runner is not None and runner.choices == tuple(ENGINES)


@pytest.mark.parametrize("option", MISPLACED)
def test_an_option_of_another_runner_is_refused_and_says_whose_it_is(
    option: str, reviews: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value, others = MISPLACED[option]
    owners = " or ".join(name for name in ENGINES if name not in others)
    for runner in ["", *others]:
        named = ["--runner", runner] if runner else []
        assert call("prepare", reviews, "--out", tmp_path / "store", *named, option, value) == 2
        chosen = " ".join(named) or "the default one"
        assert capsys.readouterr().err == (
            f"reviewmill prepare: {option} is for --runner {owners}: {chosen} has no use for it\n")
    assert list(tmp_path.iterdir()) == [Path(reviews)]


def test_clean_refuses_what_its_runner_has_no_use_for(
    reviews: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", tmp_path / "clean"]
    assert call("clean", reviews, *out, "--runner", "local", "--scheduler", "tcp://h:1") == 2
    assert "--scheduler is for --runner dask" in capsys.readouterr().err
    assert call("clean", reviews, *out, "--workers", "0") == 2
    assert "--workers is 0: give 1 or more" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [Path(reviews)]


def test_workers_that_would_not_be_used_are_refused(
    reviews: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["prepare", reviews, "--out", tmp_path / "store", "--workers", "2"]
    assert call(*run, "--runner", "inline") == 2
    assert "--runner inline has one: give --runner local" in capsys.readouterr().err
    assert call(*run, "--runner", "dask", "--scheduler", "tcp://h:1") == 2
    assert "--workers is for a Dask of this machine" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [Path(reviews)]


def chosen(splits: dict[str, list[InputSplit]], **options: Any) -> tuple[str | None, int | None]:
    engine = choose_engine(EngineOptions(**options), splits)
    return engine.runner, engine.workers


def test_all_cores_are_used_where_there_is_enough_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps({"reviewText": "good tea", "overall": 5}) + "\n"
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    for path in paths:
        path.write_text(text * 500)
    small = tmp_path / "small.json"
    small.write_text(text)
    cores = len(os.sched_getaffinity(0))
    two = {"corpus": plan_splits(list(map(str, paths)), Recipe())}
    assert chosen(two) == ("inline", 1)
    assert chosen(two, workers=3) == ("local", 3)
    assert chosen(two, workers=1) == ("inline", 1)
    assert chosen(two, runner="local") == ("local", cores)
    monkeypatch.setattr("mapreduce.prepare.PARTITION_BYTES", 1000)
    assert chosen(two) == ("local", cores)
    # One split is one task, however large, but one of several threads.
    one = {"corpus": two["corpus"][:1]}
    assert chosen(one) == ("local", cores)
    local = EngineOptions(runner="local", workers=4)
    assert [threads_of(splits, local) for splits in (one, two)] == [4, 2]
    assert threads_of({**one, "test": plan_splits([str(small)], Recipe())}, local) == 4
    assert threads_of(one, EngineOptions(runner="spark", workers=4)) == 1


def test_inspect_shows_the_figures_of_the_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path / "store", {"train": 1500, "test": 100})
    assert call("inspect", store.path, "--json", "--verify") == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert shown["rows"] == {"train": 1500, "validation": 0, "test": 100}
    assert shown["labels"] == {s: store.manifest["splits"][s]["labels"] for s in SPLITS}
    train = store.manifest["splits"]["train"]
    assert shown["truncated"]["train"] == train["truncated"] / 1500
    assert set(shown["unknown_words"]) == set(SPLITS)
    assert shown["fingerprint"] == store.fingerprint
    assert shown["verified"] is True
    assert call("inspect", store.path) == 0
    assert "1,500 reviews" in capsys.readouterr().out


def test_inspect_verify_ends_with_2_for_a_damaged_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path / "store", {"train": 1500})
    store.vocabulary_file.write_text("other\n")
    assert call("inspect", store.path) == 0
    assert call("inspect", store.path, "--verify") == 2
    assert "vocabulary.txt is damaged" in capsys.readouterr().err


def test_inspect_of_something_else_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("inspect", tmp_path) == 2
    assert "is not a store: it has no manifest.json" in capsys.readouterr().err

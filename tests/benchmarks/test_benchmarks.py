"""Benchmarks compare like with like, and print what they measured."""

import gzip
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

import reviewmill
from benchmarks.balance import parts
from benchmarks.measure import measure, table
from benchmarks.peers.frames import PEERS
from benchmarks.phases import PHASES
from benchmarks.prepare import RECIPE, take_tenth
from benchmarks.throttle import quotas
from benchmarks.train import PEERS as PEERS_OF_TRAIN
from benchmarks.train import SLOW_PEERS
from compare import raw_texts
from models.micro_batches import micro_batches
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import BatchReader
from reviews.errors import UserError
from reviews.generate import generate
from reviews.store import Store
from tests.mpi_train.ranks import ROOT
from tests.requirements import need
from tests.stores import make_store


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Generated reviews, and stop words for the 2019 rules."""
    words = tmp_path / "nltk_data" / "corpora" / "stopwords"
    words.mkdir(parents=True)
    (words / "english").write_text("the\nand\nis\n")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk_data"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return generate(tmp_path / "reviews.json.gz", 600)[0]


def test_the_per_line_peer_keeps_the_rows_that_reviewmill_keeps(
    corpus: Path, tmp_path: Path
) -> None:
    run = [sys.executable, "-m", "benchmarks.peers.per_line", corpus, tmp_path / "rows.h5"]
    printed = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120).stdout
    subprocess.run(
        [sys.executable, "-m", "reviewmill", "prepare", corpus, "--recipe", "rnn2019",
         "--out", tmp_path / "store"], check=True, capture_output=True, timeout=120,
    )
    manifest = Store(tmp_path / "store").manifest
    assert int(printed) == manifest["records"]["stored"] > 400
    with h5py.File(tmp_path / "rows.h5") as file:
        positive = int(file["label"][:].sum())
    splits = manifest["splits"].values()
    assert positive == sum(split["labels"]["positive"] for split in splits)


@pytest.mark.parametrize("peer", PEERS)
def test_a_whole_table_peer_keeps_the_rows_of_the_per_line_one(
    peer: str, corpus: Path, tmp_path: Path
) -> None:
    need(importlib.util.find_spec(peer) is not None, f"{peer} is not installed")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.to_yaml())
    found = []
    for program in (["benchmarks.peers.per_line"], ["benchmarks.peers.frames", peer]):
        target = tmp_path / f"{len(found)}.h5"
        subprocess.run([sys.executable, "-m", *program, corpus, target, "--recipe", recipe],
                       check=True, capture_output=True, timeout=120)
        with h5py.File(target) as file:
            padding = file["tokens"][:].min()
            found.append((len(file["label"]), int(file["label"][:].sum()),
                          int((file["tokens"][:] != padding).sum())))
    assert found[0] == found[1]


def test_the_peers_get_every_tenth_line(corpus: Path, tmp_path: Path) -> None:
    with gzip.open(corpus) as file:
        lines = file.readlines()
    taken, every, size = take_tenth([corpus, corpus], tmp_path / "tenth.json.gz")
    assert (taken, every, size) == (120, 1200, 2 * sum(map(len, lines)))
    with gzip.open(tmp_path / "tenth.json.gz") as file:
        assert file.readlines() == lines[::10] * 2


@pytest.mark.parametrize(("file", "function"), [
    named for functions in PHASES.values() for named in functions if named[0] != "~"])
def test_the_function_of_a_phase_is_there(file: str, function: str) -> None:
    found = [path for package in ("reviews", "mapreduce") for path in (ROOT / package).rglob("*.py")
             if path.as_posix().endswith(file) and f"def {function}(" in path.read_text()]
    assert len(found) == 1


def test_the_tables_of_prepare_have_the_peers_and_the_phases(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = generate(corpus.with_name("half.json.gz"), 600, files=2, length=0.6)
    assert reviewmill.main(["bench", "prepare", *map(str, files), "--repeat", "1"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^2 cores against 1, by the clock: [\d.]+ x; .*: [\d.]+ x one$", shown,
                     re.MULTILINE) or len(os.sched_getaffinity(0)) == 1
    assert "600 reviews" in shown
    rows = re.findall(r"^(\S.*?)  +([\d,]+) +[\d.]+ +[\d.]+ +[\d,]+ +[\d,]+ +([\d.]+) +([\d,]+)$",
                      shown, re.MULTILINE)
    names = [name for name, _, _, _ in rows]
    assert names[0] == "per-line Python" and "reviewmill" in names
    assert rows[0][1:3] == ("60", "1.00")
    assert dict((name, count) for name, count, _, _ in rows)["reviewmill"] == "600"
    peaks = {name: int(peak.replace(",", "")) for name, _, _, peak in rows}
    assert 30 < peaks["per-line Python"] < 100, "not that of the process that measures"
    assert all(peak > 100 for name, peak in peaks.items() if name != "per-line Python")
    assert re.search(r"^work folder: \d\.\d\d of the inflated input$", shown, re.MULTILINE)
    taken = dict(re.findall(r"^(\w[\w ,-]*?)  +([\d.]+) +\d+(?:  .*)?$", shown, re.MULTILINE))
    parts = [float(taken[phase]) for phase in PHASES]
    assert min(parts) > 0
    assert sum(parts) < float(taken["all"])


def test_the_table_of_partitions_has_the_number_that_was_asked_for_beside_the_usual_one(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(
        ["bench", "prepare", str(corpus), "--partitions", "5", "--repeat", "1"]) == 0
    shown = capsys.readouterr().out
    assert "600 reviews" in shown and "per-line Python" not in shown
    rows = re.findall(r"^(\d+) shards +[\d.]+ +([\d.]+) +([\d,.]+) +([\d.]+) +([\d.]+) +([\d,]+)$",
                      shown, re.MULTILINE)
    assert [row[0] for row in rows] == ["1", "5"]
    for _, cpu_s, us, _, _, peak in rows:
        assert float(us) == pytest.approx(1e6 * float(cpu_s) / 600, rel=0.1)
        assert int(peak.replace(",", "")) > 50
    assert rows[0][3] == "1.00"
    assert float(rows[1][4]) > float(rows[0][4]) > 0  # more lists of words


def test_no_partitions_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert reviewmill.main(["bench", "prepare", "--partitions", "0"]) == 2
    assert "--partitions 1 or more" in capsys.readouterr().err


@pytest.mark.soak
@pytest.mark.parametrize("slow", [(), SLOW_PEERS], ids=["", "slow-peers"])
def test_the_tables_of_train_have_the_peers_and_what_the_hardware_allows(
    slow: Sequence[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    store = make_store(tmp_path / "store", {"train": 300, "validation": 10})
    assert reviewmill.main(["bench", "train", str(store.path), "--ranks", "1", "--updates", "4",
                            "--batch-size", "32", "--hidden-dim", "4", "--bidirectional",
                            "--repeat", "1", *(["--slow-peers"] if slow else [])]) == 0
    shown = capsys.readouterr().out
    assert "hidden 4 x 2" in shown
    rows = re.findall(r"^(\S.*?)  +([\d,]+) +([\d.]+)$", shown, re.MULTILINE)
    assert [name for name, _, _ in rows] == [*PEERS_OF_TRAIN, "reviewmill", *slow]
    assert rows[0][2] == "1.00"
    figures = re.findall(r"^(\S.*?)  +([\d.,]+)(%?)$", shown, re.MULTILINE)[-7:]
    assert [name.split(",")[0] for name, _, _ in figures] == [
        "tokens/s of one rank", "real tokens among those computed", "1 ranks",
        "1 bare loops at once", "the loader alone", "of an update: data",
        "of an update: neither forward"]
    reader = BatchReader(store, "train", 32, 0, TrainingConfig().data.window)
    lengths = [reader.batch(0, update).lengths for update in range(1 + 4)]
    pieces = [piece for some in lengths for piece in np.split(
        some, micro_batches(some, TrainingConfig().data.micro_batch_tokens)[1:-1])]
    computed = sum(len(piece) * int(piece.max()) for piece in pieces)
    real = sum(int(some.sum()) for some in lengths)
    assert float(figures[1][1]) == pytest.approx(100 * real / computed, abs=0.1)


@pytest.mark.soak
def test_the_table_of_accuracy_has_every_contender_with_its_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    store = make_store(tmp_path / "store", {"train": 500, "validation": 100, "test": 100},
                       length=16)
    assert reviewmill.main(["bench", "accuracy", str(store.path), "--quick"]) == 0
    shown, progress = capsys.readouterr()
    rows = re.findall(r"^(\S.*?)  +([\d.]+)%  +-  +([\d.]+)%  +([\d,]+) +([\d,]+) +([\d.]+) +\2%$",
                      shown, re.MULTILINE)
    names = ["plain torch BiLSTM", "--model bag", "--config views", "--config default"]
    if "fastText is left out" not in shown:
        names = ["fastText, word pairs", *names]
    assert [row[0] for row in rows] == names
    assert all(40 < float(row[1]) <= 100 for row in rows)
    assert rows[-4][5] == "1.00"
    assert all(int(row[4].replace(",", "")) > 0 for row in rows), "CPU seconds"
    told = re.findall(r"^(.*), seed 0: test ([\d.]+)%, [\d,]+ s$", progress, re.MULTILINE)
    assert told == [row[:2] for row in rows]


def test_the_table_of_accuracy_may_be_of_some_contenders_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    store = make_store(tmp_path / "store", {"train": 200, "validation": 50, "test": 50}, length=16)
    assert reviewmill.main(["bench", "accuracy", str(store.path), "--quick", "--only", "bag"]) == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^(\S.*?)  +[\d.]+%  +-  +[\d.]+%  +[\d,]+ +[\d,]+ +- ", shown,
                      re.MULTILINE) == ["--model bag"]


def test_fasttext_gets_the_whole_texts_of_the_reviews_of_each_split(tmp_path: Path) -> None:
    need(importlib.util.find_spec("fasttext") is not None, "no fastText: the extra bench")
    from benchmarks.peers.plain_fasttext import SPLITS, as_in_its_tutorial, documents

    raw = str(tmp_path / "reviews.json.gz")
    generate(raw, reviews=800)
    # Of what models see, one word and the first of a review, no text could be made.
    assert reviewmill.main(["prepare", raw, "--out", str(tmp_path / "store"), "--length", "1",
                            "--vocabulary-size", "1", "--split", "0.4,0.2,0.4"]) == 0
    with gzip.open(raw, "rt") as lines:
        reviews = [json.loads(line) for line in lines]
    rated = {(as_in_its_tutorial(r["reviewText"]), r["overall"] > 3) for r in reviews}
    store, seen, texts = Store(tmp_path / "store"), set(), tmp_path / "texts.parquet"
    raw_texts.write(texts, store, [raw], SPLITS)
    for split in SPLITS:
        found, labels = documents(store, split, texts)
        assert len(found) == store.rows(split)
        assert rated.issuperset(zip(found, labels.astype(bool).tolist(), strict=True))
        assert seen.isdisjoint(found)
        seen |= set(found)
    less = tmp_path / "less.json"
    less.write_text("".join(json.dumps(review) + "\n" for review in reviews
                            if as_in_its_tutorial(review["reviewText"]) != found[0]))
    with pytest.raises(UserError, match=r"^1 of the .* reviews of .* are not in the files"):
        raw_texts.write(texts, store, [str(less)], SPLITS)


def test_whole_texts_are_asked_for_with_the_files_that_have_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["bench", "accuracy", str(tmp_path), "--only", "fasttext-2"]) == 2
    assert "--only fasttext-2 needs the raw files: give --texts" in capsys.readouterr().err


def test_the_table_of_models_has_the_speed_and_size_of_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("benchmarks.models.MODELS", {
        "--model bag": ("--model", "bag", "--buckets", "300000")})
    store = make_store(tmp_path / "store", {"train": 3000, "validation": 100}, length=16)
    assert reviewmill.main(["bench", "models", str(store.path), "--updates", "1"]) == 0
    shown = capsys.readouterr().out
    rows = re.findall(r"^(--\S+ \S+) +([\d,]+) +([\d.]+) +([\d,]+)$", shown, re.MULTILINE)
    assert [row[0] for row in rows] == ["--model bag"]
    assert int(rows[0][3]) == 19, "MB of a table of 300,000 rows of 16 numbers"
    assert all(float(row[2]) > 0 for row in rows), "speed of two ranks"
    assert reviewmill.main(["bench", "models", "--only", "bags"]) == 2
    assert "--only has none of --model bag" in capsys.readouterr().err


def test_a_command_is_measured_and_its_failure_told() -> None:
    usage = measure([sys.executable, "-c", "x = b'a' * 200_000_000"])
    assert usage.peak_mb > 190
    held = b"a" * 400_000_000  # by the process that measures
    assert measure([sys.executable, "-c", "pass"]).peak_mb < 100
    del held
    assert measure([sys.executable, "-c", "print('said')"]).output == "said\n"
    assert 0 < usage.cpu_s < usage.seconds + 1
    with pytest.raises(UserError, match=r"failed \(7\): what went wrong"):
        measure([sys.executable, "-c", "print('what went wrong'); exit(7)"])


def test_tables_have_numbers_at_the_right() -> None:
    shown = table(["", "n"], [["a", "1"], ["bc", "10"]])
    assert shown.splitlines() == ["     n", "a    1", "bc  10"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["perpare"], "did you mean prepare?"), (["prepare", "nothing.gz"], "is not a .gz file"),
     (["prepare", "--reviews", "1"], "--reviews 100 or more"),
     (["train", "--ranks", "0"], "1 or more"), (["accuracy", "--seeds", "0"], "--seeds 1 or more"),
     (["train", "nothing"], "is not a store"),
     (["balance", "--speeds", "4,-1"], "--speeds are positive numbers")],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reviewmill.main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def parts_of_a_core() -> None:
    try:
        with quotas([0.5]) as [folder]:
            assert folder.is_dir()
        assert not folder.exists()
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("parts_of_a_core")
def test_what_an_interrupted_benchmark_leaves_running_is_ended() -> None:
    sleeper = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    with subprocess.Popen(sleeper, stdout=subprocess.PIPE, text=True) as left:
        assert left.stdout
        left.stdout.readline()
        with quotas([0.5]) as [folder]:
            (folder / "cgroup.procs").write_text(str(left.pid))
        assert not folder.exists()
        assert left.wait(60) == -signal.SIGKILL


def test_the_fastest_rank_has_the_part_of_a_core_that_is_asked_for(
    capsys: pytest.CaptureFixture[str]
) -> None:
    assert parts([4, 3, 2, 1], 0.4) == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert reviewmill.main(["bench", "balance", "--fastest", "1.5"]) == 2
    assert "--fastest is a part of a core" in capsys.readouterr().err


def row_of(mix: str, printed: str) -> list[str]:
    [row] = [line.split() for line in printed.splitlines() if line.startswith(mix)]
    return row


@pytest.mark.usefixtures("parts_of_a_core")
def test_ranks_on_parts_of_a_core_are_measured_against_the_sum_of_their_speeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(tmp_path / "store", {"train": 1500}, length=32)
    assert reviewmill.main(["bench", "balance", str(store.path), "--speeds", "3,1",
                            "--batch-size", "100", "--pairs", "2", "--updates", "4",
                            "--jumps", "6"]) == 0
    row = row_of("3:1", capsys.readouterr().out)
    assert row[1] == "100"
    efficiency, ceiling, equal = (float(row[i].rstrip("%")) for i in (3, 4, 6))
    assert 0 < equal < 150
    assert 0 < efficiency < 150
    assert 0 < ceiling <= 100
    assert all(0 <= int(updates) <= 18 for updates in row[-3:])


@pytest.mark.usefixtures("parts_of_a_core")
def test_so_are_those_of_a_plain_ddp_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert reviewmill.main(["bench", "balance", "--ddp", "--speeds", "3,1", "--pairs", "1",
                            "--updates", "2"]) == 0
    row = row_of("3:1", capsys.readouterr().out)
    assert 0 < float(row[3].rstrip("%")) < 200

"""`reviewmill bench score` prints each figure beside its peer."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

import reviewmill
from benchmarks.score import fasttext_line, int8_line
from benchmarks.service.load import describe_statuses
from models.bag import BagConfig
from models.records import options_of
from reviews.bundle import put_file, read_bundle
from scoring import load
from tests.requirements import need
from tests.scoring.bundles import TEXTS, WORDS, make_bundle
from tests.stores import make_store


def test_every_figure_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need(len(os.sched_getaffinity(0)) > 1, "two cores")
    folder, _ = make_bundle(tmp_path, "views", layers=1)
    (tmp_path / "in.jsonl").write_text("".join(
        json.dumps({"text": text}) + "\n" for text in TEXTS * 20))
    line = ["bench", "score", str(folder), str(tmp_path / "in.jsonl"), "--repeat", "1",
            "--cores-seconds", "1e-6"]
    assert reviewmill.main(line) == 0
    shown = capsys.readouterr().out
    assert "200 reviews of " in shown
    for peer in ("torch eager", "ONNX Runtime"):
        for size in (1, 64):
            assert re.search(rf"{peer}, batch {size} +[\d,]+ +[\d.]+ x\n", shown)
    for figure in (r"raw files to predictions.*: [\d,]+ reviews/s, [\d.]+% of ids",
                   r"in 8 bits: [\d,]+ reviews/s, [\d.]+ x float32; [\d,]+ bytes of [\d,]+; "
                   r"[\d.]+% of the labels are others; `reviewmill export RUN --int8` measures",
                   r"two cores: [\d,]+ reviews/s, [\d.]+% of two runs .*; the input 1 x\n",
                   r"HTTP, 32 texts a call: [\d,]+ reviews/s, [\d.]+% of direct",
                   r"a lone text over HTTP: [\d.]+ ms \(p50\), direct [\d.]+ ms"):
        assert re.search(figure, shown), figure


def test_the_line_of_8_bits_has_the_accuracy_that_export_measured(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 9, "validation": 40},
                       vocabulary=len(WORDS))
    folder, _ = make_bundle(tmp_path, "gru", description={"store": store.fingerprint})
    predictor = load(str(folder))
    rows = predictor.encoder.encode(pa.array(TEXTS))
    assert reviewmill.main(["export", str(folder), "--int8", "--store", str(store.path),
                            "--force"]) == 0
    line = int8_line(str(folder), predictor, rows, 1)
    assert re.search(r"; accuracy [\d.]+% against [\d.]+% on 40 validation reviews$", line)
    put_file(read_bundle(folder), "weights.safetensors", read_bundle(
        make_bundle(tmp_path / "other", "gru", seed=4)[0]).read("weights.safetensors"))
    assert int8_line(str(folder), predictor, rows, 1).endswith("is of other weights")


def test_a_bag_has_no_line_of_8_bits(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "bag")
    predictor = load(str(folder))
    rows = predictor.encoder.encode(pa.array(TEXTS))
    assert int8_line(str(folder), predictor, rows, 1) == (
        "in 8 bits: a bag is not written in them")


def test_a_bag_is_beside_fasttext_of_its_sizes(tmp_path: Path) -> None:
    folder, _ = make_bundle(tmp_path, "bag")
    (tmp_path / "in.jsonl").write_text("".join(
        json.dumps({"text": text}) + "\n" for text in TEXTS))
    predictor = load(str(folder))
    line = fasttext_line(predictor, [str(tmp_path / "in.jsonl")], 1, 1e6)
    sizes = options_of(predictor.bundle).network
    assert isinstance(sizes, BagConfig)
    assert (f"{sizes.ngrams}-grams, {sizes.embedding_dim} dimensions, {sizes.buckets:,} buckets"
            in line)
    assert re.search(r"by CPU time: [\d,]+ reviews/s; reviewmill from raw files is [\d.]+ x$", line)


@pytest.mark.parametrize("seconds", ["0", "nan", "3600"])
def test_seconds_of_two_cores_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seconds: str
) -> None:
    folder, _ = make_bundle(tmp_path)
    line = ["bench", "score", str(folder), "x", "--cores-seconds", seconds]
    assert reviewmill.main(line) == 2
    assert "--cores-seconds" in capsys.readouterr().err


def test_a_number_that_makes_no_sense_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = make_bundle(tmp_path)
    assert reviewmill.main(["bench", "score", str(folder), "x", "--repeat", "0"]) == 2
    assert "--reviews and --repeat are 1 or more" in capsys.readouterr().err


def test_the_load_figures_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need(len(os.sched_getaffinity(0)) > 1, "two cores")
    folder, _ = make_bundle(tmp_path, "bag")
    (tmp_path / "in.jsonl").write_text("".join(
        json.dumps({"text": text}) + "\n" for text in TEXTS * 20))
    line = ["bench", "score", str(folder), str(tmp_path / "in.jsonl"), "--load",
            "--load-seconds", "1,0.5,1"]
    assert reviewmill.main(line) == 0
    shown = capsys.readouterr().out
    for figure in (
        r"capacity: [\d,]+ calls/s on one core; a call alone takes [\d.]+ ms",
        r"at 70 % of capacity, Poisson arrivals, 1 s: p50 [\d.]+ ms, p99 [\d.]+ ms, "
        r"[\d.]+ calls' time alone; [\d,]+ calls: 200 [\d.]+%, 429 [\d.]+%, 5xx 0, ",
        r"at 90 % of capacity, 0.5 s: [\d,]+ calls: 200 [\d.]+%",
        r"at 300 % of capacity, 1 s: [\d,]+ calls: 200 .* 5xx 0, others 0, without an answer 0",
        r"memory of the server then: [\d,]+ MB .* quarter .* end, [\d,]+ MB at most",
        r"in the second after the last answer: \d+% of capacity",
    ):
        assert re.search(figure, shown), figure
    assert "torch" not in shown


def test_statuses_that_must_not_be_are_counted_apart() -> None:
    assert describe_statuses(Counter({200: 90, 429: 5, 503: 2, 500: 1, 422: 1, 0: 1})) == (
        "100 calls: 200 90.00%, 429 5.00%, 5xx 3, others 1, without an answer 1")


@pytest.mark.parametrize("seconds", ["1,2", "1,2,0", "1,2,inf", "a,b,c"])
def test_seconds_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seconds: str
) -> None:
    folder, _ = make_bundle(tmp_path, "bag")
    assert reviewmill.main(
        ["bench", "score", str(folder), "x", "--load", "--load-seconds", seconds]) == 2
    assert "--load-seconds" in capsys.readouterr().err

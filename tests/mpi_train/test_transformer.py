"""Encoders are fine-tuned like any other model: exactly, on any ranks, and then scored."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.numpy import load_file, save_file

import reviewmill
from models.nets.load_model import load_model
from mpi_train.__main__ import main
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.store import Store
from scoring import load
from tests.encoders import make_encoder, sentences
from tests.mpi_train.runs import difference, losses, records, train_on_ranks
from tests.scoring.bundles import torch_logits
from tests.scoring.service.server import serving

TOLERANCE = 1e-5
TEXTS = ["", "good tea", "!", "never seen words are pieces", *sentences(60, 40, seed=7)]


def prepare(folder: Path, encoder: Path, texts: list[str]) -> Store:
    """A store of texts that are positive where one of their words is good."""
    rows = [{"text": text, "label": int("good" in text)} for text in texts]
    folder.mkdir(parents=True)
    (folder / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = ["prepare", str(folder / "reviews.jsonl"), "--out", str(folder / "store"),
            "--length", "24", "--tokenizer", f"huggingface:{encoder}", "--dedupe", "none",
            "--text-field", "text", "--label-field", "label", "--workers", "1"]
    assert reviewmill.main(line) == 0
    return Store(folder / "store")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders") / "bert"
    make_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def store(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepare(tmp_path_factory.mktemp("data") / "bert", encoder, sentences(500, seed=2))


def line_of(store: Store, encoder: Path, run: Path, **options: Any) -> list[str]:
    values = {"store": store.path, "out": run, "model": "transformer", "encoder": encoder,
              "epochs": 1, "threads": 1, "micro_batch_tokens": 200, **options}
    return [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
            for name, value in values.items()]


def train(store: Store, encoder: Path, run: Path, **options: Any) -> Path:
    assert main(line_of(store, encoder, run, **options)) == 0
    return run


def test_a_run_begins_with_the_encoders_weights_and_learns(
    store: Store, encoder: Path, tmp_path: Path
) -> None:
    barely = read_bundle(train(store, encoder, tmp_path / "barely", learning_rate=1e-12,
                               max_steps=1)).weights
    original = load_file(encoder / "model.safetensors")
    for name, value in barely.items():
        if name.startswith("encoder."):
            np.testing.assert_allclose(value, original[name.removeprefix("encoder.")], atol=1e-6)
    run = train(store, encoder, tmp_path / "run", learning_rate=3e-3, epochs=4)
    assert np.mean(losses(run)[-10:]) < np.mean(losses(run)[:10]) - 0.1
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["encoder"] == str(encoder)
    assert (config["optimizer"], config["batch_size"], config["clip_norm"]) == ("adamw", 32, 1)


@pytest.fixture(scope="module")
def on_ranks(
    store: Store, encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The same updates in double precision by one process and by two unequal ranks."""
    top = tmp_path_factory.mktemp("exact")
    # Weights are then the gradients of two updates, and what these begin with.
    plain = {"precision": "fp64", "max_steps": 2, "optimizer": "sgd", "momentum": 0,
             "learning_rate": 0.1, "weight_decay": 0, "clip_norm": 0, "warmup_fraction": 0,
             "dropout": 0.3, "keep": "last"}
    more = {"whole": {}, "frozen": {"train_layers": 1, "activation_checkpointing": True}}
    runs = {}
    for name, options in more.items():
        runs[name] = train(store, encoder, top / name, **plain, **options)
        runs[f"{name} on ranks"] = top / f"{name}-ranks"
    train_on_ranks(2, [
        line_of(store, encoder, runs[f"{name} on ranks"], **plain, **options,
                shares="3,1", backend=backend)
        for (name, options), backend in zip(more.items(), ("gloo", "shm"), strict=True)])
    runs["start"] = train(store, encoder, top / "start", **{**plain, "learning_rate": 1e-300})
    return runs


@pytest.mark.parametrize("name", ["whole", "frozen"])
def test_two_unequal_ranks_learn_what_one_process_does_dropout_included(
    name: str, on_ranks: dict[str, Path]
) -> None:
    start, one, two = (read_bundle(on_ranks[key]).weights
                       for key in ("start", name, f"{name} on ranks"))
    moved = np.sqrt(sum(np.square(one[key] - start[key]).sum() for key in one))
    apart = np.sqrt(sum(np.square(one[key] - two[key]).sum() for key in one))
    assert moved > 0.01
    assert apart < 1e-10 * moved


def test_a_layer_that_does_not_learn_keeps_its_weights(on_ranks: dict[str, Path]) -> None:
    start, frozen = (read_bundle(on_ranks[key]).weights for key in ("start", "frozen"))
    changed = {key for key in start if np.any(start[key] != frozen[key])}
    last = {key for key in start if "layer.1." in key or not key.startswith("encoder.")}
    # Keys have no gradient in their bias: a softmax does not see what all scores have in common.
    assert last - {"encoder.encoder.layer.1.attention.self.key.bias"} <= changed <= last


def test_a_rate_that_falls_from_layer_to_layer_moves_lower_ones_less(
    store: Store, encoder: Path, tmp_path: Path
) -> None:
    steps = {"max_steps": 1, "warmup_fraction": 0, "learning_rate": 1e-3, "weight_decay": 0}
    whole, falling = (
        read_bundle(train(store, encoder, tmp_path / str(factor), layer_decay=factor,
                          **steps)).weights for factor in (1.0, 0.5))
    start = load_file(encoder / "model.safetensors")
    for name, factor in (("embeddings.position_embeddings.weight", 0.25),
                         ("encoder.layer.0.output.dense.weight", 0.5),
                         ("encoder.layer.1.output.dense.weight", 1.0)):
        moved = [np.abs(one[f"encoder.{name}"] - start[name]).max() for one in (whole, falling)]
        assert moved[1] / moved[0] == pytest.approx(factor, rel=1e-2)


def test_a_resumed_run_is_the_same_to_the_last_bit(
    store: Store, encoder: Path, tmp_path: Path
) -> None:
    options = {"schedule": "constant", "warmup_fraction": 0, "keep": "last"}
    whole = train(store, encoder, tmp_path / "whole", max_steps=9, **options)
    cut = train(store, encoder, tmp_path / "cut", max_steps=4, **options)
    assert main(["--out", str(cut), "--resume", "--max-steps", "9"]) == 0
    assert difference(read_bundle(whole).weights, read_bundle(cut).weights) == 0


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "bare"])
def test_every_way_gives_the_probabilities_of_torch(kind: str, tmp_path: Path) -> None:
    """Also where the tokenizer puts no special ids around texts (bare)."""
    encoder = tmp_path / "encoder"
    make_encoder(encoder, "bert" if kind == "bare" else kind, framed=kind != "bare")
    store = prepare(tmp_path / "data", encoder, sentences(120, seed=3))
    run = train(store, encoder, tmp_path / "run", learning_rate=1e-2)
    shutil.rmtree(encoder)  # what a model needs lies in its bundle
    bundle = read_bundle(run)
    assert bundle.model["options"]["architecture"] == ("bert" if kind == "bare" else kind)
    assert "of 2 layers of 16" in (bundle.path / "card.md").read_text()
    predictor = load(str(run))
    rows = predictor.encoder.encode(pa.array(TEXTS))
    ids = [row[:n].tolist() for row, n in zip(rows.tokens, rows.lengths, strict=True)]
    assert max(map(len, ids)) == 24
    logits = torch_logits(load_model(bundle), ids)[:, 0]
    wanted = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert np.ptp(wanted) > 300 * TOLERANCE
    np.testing.assert_allclose(predictor(TEXTS).probabilities[:, 1], wanted, rtol=0, atol=TOLERANCE)

    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    line = ["score", str(run), str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out.parquet")]
    assert reviewmill.main(line) == 0
    of_files = pq.read_table(tmp_path / "out.parquet")["probability_positive"].to_numpy()
    np.testing.assert_allclose(of_files, wanted, rtol=0, atol=TOLERANCE)
    assert reviewmill.main(["export", str(run), "--int8", "--force"]) == 0
    in_8_bits = load(str(run / "model-int8"))
    found = in_8_bits(TEXTS).probabilities[:, 1]
    assert 0 < np.abs(found - wanted).max() < 0.2 * np.ptp(wanted)
    for text, probability in zip(TEXTS[:5], found[:5], strict=True):
        np.testing.assert_allclose(in_8_bits([text]).probabilities[0, 1], probability, atol=1e-6)
    if kind == "bert":
        with serving(run) as server:
            status, answer = server.post({"texts": TEXTS})
        assert status == 200
        of_http = [result["probabilities"]["positive"] for result in answer["results"]]
        np.testing.assert_allclose(of_http, wanted, rtol=0, atol=TOLERANCE)
        assert reviewmill.main(["evaluate", str(run), "--store", str(store.path)]) == 0
        assert records(run, "evaluation")[-1]["n"] == store.rows("test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": ""}, "needs a pre-trained encoder: give --encoder FOLDER"),
        ({"encoder": "nowhere"}, "nowhere/config.json: No such file or directory"),
        ({"train_layers": 3}, "--train-layers is 3, but"),
        ({"layer_decay": 1.5}, "--layer-decay is 1.5"),
        ({"hidden_dim": 8}, "--hidden-dim is for"),
        ({"model": "lstm"}, "--encoder is for"),
    ],
)
def test_what_does_not_fit_is_one_line(
    options: dict[str, Any], message: str, store: Store, encoder: Path, tmp_path: Path
) -> None:
    values = {"store": store.path, "out": tmp_path / "run", "model": "transformer",
              "encoder": encoder, **options}
    line = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    with pytest.raises(UserError, match=message) as refused:
        main(line)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_weights_that_miss_a_tensor_end_a_run_before_it_begins(
    store: Store, encoder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "encoder"
    shutil.copytree(encoder, copy)
    weights = load_file(copy / "model.safetensors")
    del weights["encoder.layer.1.output.dense.bias"]
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(UserError, match=r"has no tensor encoder\.layer\.1\.output\.dense\.bias"):
        main(line_of(store, copy, tmp_path / "run"))
    assert not (tmp_path / "run" / "config.yaml").exists()

"""A sharded model learns what a whole one does, and no rank holds more than its part."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from mpi_train.__main__ import main
from mpi_train.checkpoint import last_checkpoint
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.store import Store
from tests.encoders import make_encoder, sentences
from tests.mpi_train.runs import arguments, norm, records, train_on_ranks
from tests.mpi_train.test_transformer import line_of, prepare
from tests.stores import make_store

# Weights are then the gradients of two updates, and what these begin with.
PLAIN = {"max_steps": 2, "optimizer": "sgd", "momentum": 0, "learning_rate": 0.1,
         "schedule": "constant", "keep": "last", "dropout": 0.3}
WIDE = {"embedding_dim": 64, "hidden_dim": 64, "optimizer": "adam", "learning_rate": 1e-3}
CASES: dict[str, dict[str, Any]] = {
    "lstm": {"layers": 2, "bidirectional": True, "clip_norm": 0.05, "word_dropout": 0.1,
             "shares": "3,1"},
    "gru": {"pooling": "last", "loss": "cross-entropy", "shares": "0,1"},
    "bilstm-attention": {"shares": "1,2"},
    "cnn": {"filters": 5, "shares": "1,1"},
    "mlp": {"layers": 2, "shares": "2,1"},
    "lstm, fp32": {"precision": "fp32", "shares": "3,1"},
    "transformer": {"shares": "3,1"},
    "transformer, last layer": {"train_layers": 1, "activation_checkpointing": True,
                                "shares": "1,3"},
}


class Runs:
    """Trainings by one process, and the same ones by ranks of which each has a shard."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.store = make_store(top / "store", {"train": 600, "validation": 300}, length=24,
                                vocabulary=1200, features=("likes", "age"))
        self.encoder = top / "encoder"
        make_encoder(self.encoder)
        self.texts = prepare(top / "texts", self.encoder, sentences(500, seed=2))
        wide = {**WIDE, "parallel": "fsdp"}
        train_on_ranks(2, [
            *(self.line(name, f"{name} in shards", parallel="fsdp", **options)
              for name, options in CASES.items()),
            self.line("lstm", "wide", max_steps=12, **wide),
            self.line("lstm", "resumed", max_steps=4, **wide),
        ])
        train_on_ranks(3, [["--out", top / "resumed", "--resume", "--max-steps", 12,
                            "--checkpoints-kept", 9]])

    def line(self, name: str, out: str, **options: Any) -> list[str]:
        model = name.split(",")[0]
        values = {"model": model, "precision": "fp64", "warmup_fraction": 0, **PLAIN, **options}
        if values["optimizer"] != "sgd":
            del values["momentum"]
        if model == "transformer":
            values |= {"weight_decay": 0, "clip_norm": 0}
            return line_of(self.texts, self.encoder, self.top / out, **values)
        if model == "mlp":
            return [part for part in arguments(self.store, self.top / out, **values)
                    if "embedding-dim" not in part]
        return arguments(self.store, self.top / out, **values)

    def weights(self, out: str) -> dict[str, np.ndarray]:
        return read_bundle(self.top / out).weights


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("sharded"))


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_one_process(name: str, runs: Runs) -> None:
    options = {key: value for key, value in CASES[name].items() if key != "shares"}
    assert main(runs.line(name, f"{name} whole", **options)) == 0
    assert main(runs.line(name, f"{name} start", **{**options, "learning_rate": 1e-300})) == 0
    start, one, two = (runs.weights(f"{name} {end}") for end in ("start", "whole", "in shards"))
    moved = norm(start, one)
    assert moved > 1e-3
    assert norm(one, two) < (1e-5 if "fp32" in name else 1e-10) * moved


def test_no_rank_holds_more_than_its_part(runs: Runs) -> None:
    """By what ranks hold at the end of a run, and by what they write."""
    shards = json.loads((runs.top / "wide" / "summary.json").read_text())["shard_bytes"]
    assert len(shards) == 2
    parameters = sum(value.nbytes for value in runs.weights("wide").values())
    for whole, kind in ((parameters, "parameters"), (parameters, "gradients"),
                        (2 * parameters, "optimizer")):
        assert sum(shard[kind] for shard in shards) == pytest.approx(whole, rel=1e-3)
        assert max(shard[kind] for shard in shards) <= whole * (1 / 2 + 0.05)
    for files in ("weights-*", "optimizer-*"):
        found = [file.stat().st_size for file in
                 (runs.top / "wide" / "checkpoints" / "step-00000012").glob(files)]
        assert len(found) == 2
        assert max(found) <= sum(found) * (1 / 2 + 0.05)


def test_a_run_is_resumed_on_any_number_of_ranks_sharded_or_not(
    runs: Runs, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    assert main(runs.line("lstm", str(whole), **WIDE, max_steps=4)) == 0
    assert main(["--out", str(whole), "--resume", "--max-steps", "12"]) == 0
    weights = read_bundle(whole).weights
    figures = records(whole, "epoch")[-1]["validation"]
    for name in ("wide", "resumed"):
        assert norm(weights, runs.weights(name)) < 1e-9 * norm(
            weights, {key: np.zeros_like(value) for key, value in weights.items()})
        found = records(runs.top / name, "epoch")[-1]["validation"]
        assert found == pytest.approx(figures, rel=1e-9)
    parts = [*(runs.top / "resumed" / "checkpoints").glob("step-00000012/weights-*-of-00003.*")]
    assert len(parts) == 3
    # And on by one process, which holds all of it.
    assert main(["--out", str(runs.top / "resumed"), "--resume", "--max-steps", "13",
                 "--parallel", "data"]) == 0
    assert main(["--out", str(whole), "--resume", "--max-steps", "13"]) == 0
    assert norm(read_bundle(whole).weights, runs.weights("resumed")) < 1e-8


def test_a_checkpoint_that_lacks_the_file_of_a_rank_is_damaged(runs: Runs) -> None:
    out = runs.top / "wide"
    found = last_checkpoint(out)
    assert found is not None
    one = load_file(out / "checkpoints/step-00000012/weights-00001-of-00002.safetensors")
    assert np.array_equal(found.tensors["weights"]["embedding.weight"][-600:].numpy(),
                          one["embedding.weight"][-600:])
    (out / "checkpoints/step-00000012/weights-00001-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="step-00000012 is damaged"):
        last_checkpoint(out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--parallel fsdp is for two ranks or more: give --ranks, or --parallel data"),
        ({"model": "bag"}, "no shards of a bag's rows, .*: give --parallel data$"),
        ({"ngrams": 2}, "no shards of a bag's rows, .*, or --ngrams 0"),
        ({"optimizer": "lamb"}, "looks at whole tensors"),
        ({"keep": "average"}, "--keep average is for --parallel data"),
        ({"balance": "dynamic"}, "give --balance equal, or --shares"),
        ({"backend": "shm"}, "is for --backend gloo or nccl"),
        ({"exchange": "bf16"}, "is for --backend gloo or nccl, and --exchange full"),
    ],
)
def test_what_cannot_be_sharded_is_one_line(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    store: Store = make_store(tmp_path / "store", {"train": 60, "validation": 20})
    with pytest.raises(UserError, match=message) as refused:
        main(arguments(store, tmp_path / "run", parallel="fsdp", **options))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()

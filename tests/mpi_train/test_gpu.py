"""Training on a GPU is that on the processor: needs a GPU, and skips without one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mpi_train.evaluate import main as evaluate
from reviews.store import Store
from tests.mpi_train.ranks import run_ranks
from tests.mpi_train.runs import arguments, losses, records, train
from tests.stores import make_store

pytestmark = pytest.mark.gpu
MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"dropout": 0.2},
    "views": {"bidirectional": True, "pooling": "mean+max", "ngrams": 3, "buckets": 997,
              "ngram_dim": 4},
    "bag": {"model": "bag", "buckets": 997},
    "cnn": {"model": "cnn", "filters": 8},
    "bilstm-attention": {"model": "bilstm-attention"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("gpu") / "store",
                      {"train": 600, "validation": 100, "test": 100})


@pytest.mark.parametrize("model", MODELS)
def test_the_losses_of_a_gpu_are_those_of_the_processor(
    model: str, store: Store, tmp_path: Path
) -> None:
    here = train(store, tmp_path / "here", device="cpu", **MODELS[model])
    there = train(store, tmp_path / "there", device="cuda", **MODELS[model])
    assert losses(there) == pytest.approx(losses(here), abs=1e-3)
    figures = []
    for run in (here, there):
        for device in ("cpu", "cuda"):
            assert evaluate([str(run), "--store", str(store.path), "--device", device]) == 0
        figures += [entry["loss"] for entry in records(run, "evaluation")[-2:]]
    assert figures == pytest.approx(figures[:1] * 4, abs=1e-3)


def test_bf16_learns_as_fp32_does(store: Store, tmp_path: Path) -> None:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("the GPU has no bfloat16")
    exact, rounded = (train(store, tmp_path / precision, device="cuda", precision=precision)
                      for precision in ("fp32", "bf16"))
    assert losses(rounded) != losses(exact)
    assert losses(rounded) == pytest.approx(losses(exact), rel=3e-2)


def test_fp16_learns_as_fp32_does_and_goes_on_after_overflows(
    store: Store, tmp_path: Path
) -> None:
    options = {"device": "cuda", "precision": "fp16", "loss_scale": 1 << 24,
               "loss_scale_window": 4}
    exact = train(store, tmp_path / "exact", device="cuda")
    whole = train(store, tmp_path / "whole", **options)
    train(store, tmp_path / "run", **options, max_steps=13)
    run = train(store, tmp_path / "run", **options, resume=True, max_steps=20)
    for each in (whole, run):
        assert losses(each) != losses(exact)
        assert losses(each) == pytest.approx(losses(exact), rel=3e-2)
        assert sum(step["overflows"] for step in records(each, "step")) > 0
    assert ([step["loss_scale"] for step in records(run, "step")]
            == [step["loss_scale"] for step in records(whole, "step")])


@pytest.mark.parametrize("model", ["lstm", "bag"])
def test_a_run_is_resumed_on_the_gpu_with_its_optimizers_state(
    model: str, store: Store, tmp_path: Path
) -> None:
    options = {"device": "cuda", "schedule": "constant", **MODELS[model]}
    whole = train(store, tmp_path / "whole", **options)
    train(store, tmp_path / "run", **options, max_steps=13)
    run = train(store, tmp_path / "run", **options, resume=True, max_steps=20)
    assert losses(run) == pytest.approx(losses(whole), abs=1e-5)


def test_ranks_that_share_a_gpu_train_the_model_of_one(store: Store, tmp_path: Path) -> None:
    alone = train(store, tmp_path / "alone", device="cuda:0")
    done = run_ranks(2, "-m", "mpi_train", *arguments(
        store, tmp_path / "two", device="cuda:0", backend="gloo", balance="equal"))
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(alone), abs=1e-4)

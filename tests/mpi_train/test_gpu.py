"""Training on a GPU is that on the processor: needs a GPU, and skips without one."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

import reviewmill
from models.nets.dropout import DropoutRandom
from models.nets.recurrent import Gru, Lstm
from mpi_train.evaluate import main as evaluate
from mpi_train.exchange.process_groups import make_process_group
from mpi_train.exchange.rounded_sum import RoundedSum
from reviews.store import Store
from tests.mpi_train.ranks import ROOT, run_ranks
from tests.mpi_train.runs import arguments, losses, records, train
from tests.stores import make_store

pytestmark = pytest.mark.gpu
MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"dropout": 0.2},
    "2019": {"layers": 2, "pooling": "last", "dropout": 0.5, "positive_weight": 0.2,
             "optimizer": "sgd", "learning_rate": 0.1},
    "views": {"bidirectional": True, "pooling": "mean+max", "ngrams": 3, "buckets": 997,
              "ngram_dim": 4, "word_dropout": 0.1},
    "bag": {"model": "bag", "buckets": 997},
    "gru": {"model": "gru"},
    "cnn": {"model": "cnn", "filters": 8},
    "bilstm-attention": {"model": "bilstm-attention"},
    "average": {"keep": "average", "clip_norm": 1.0, "optimizer": "lamb"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("gpu") / "store",
                      {"train": 600, "validation": 100, "test": 100})


def needs_bf16() -> None:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("the GPU has no bfloat16")


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


def test_dropout_is_the_same_on_any_device() -> None:
    masks = [DropoutRandom.of(7, 1, 2, torch.arange(300, device=device)).dropped(3, 50, 0.3)
             for device in ("cpu", "cuda")]
    assert torch.equal(masks[0], masks[1].cpu())


@pytest.mark.parametrize("kind", [Lstm, Gru])
def test_recurrent_layers_are_rounded_to_the_type_that_autocast_has(
    kind: type[Lstm] | type[Gru]
) -> None:
    needs_bf16()
    layer, x = kind(8, 6).cuda(), torch.randn(5, 3, 8, device="cuda")
    for rounded in (torch.bfloat16, torch.float16):
        with torch.autocast("cuda", rounded):
            assert layer(x)[0].dtype == rounded


@pytest.mark.parametrize("model", ["lstm", "2019", "views", "gru", "cnn", "bilstm-attention"])
def test_bf16_learns_as_fp32_does(model: str, store: Store, tmp_path: Path) -> None:
    needs_bf16()
    exact, rounded = (
        train(store, tmp_path / precision, device="cuda", precision=precision, **MODELS[model])
        for precision in ("fp32", "bf16"))
    assert losses(rounded) != losses(exact)
    assert losses(rounded) == pytest.approx(losses(exact), rel=3e-2)


def test_fp16_learns_as_fp32_does_and_goes_on_after_overflows(
    store: Store, tmp_path: Path
) -> None:
    options = {"device": "cuda", "precision": "fp16", "loss_scale": 1 << 24,
               "loss_scale_window": 4, "schedule": "constant"}
    exact = train(store, tmp_path / "exact", device="cuda", schedule="constant")
    whole = train(store, tmp_path / "whole", **options)
    train(store, tmp_path / "run", **options, max_steps=13)
    run = train(store, tmp_path / "run", **options, resume=True, max_steps=20)
    for each in (whole, run):
        assert losses(each) != losses(exact)
        assert losses(each) == pytest.approx(losses(exact), rel=3e-2)
        assert sum(step["overflows"] for step in records(each, "step")) > 0
    assert ([step["loss_scale"] for step in records(run, "step")]
            == [step["loss_scale"] for step in records(whole, "step")])


@pytest.mark.parametrize("model", ["lstm", "2019", "views", "bag"])
def test_a_run_is_resumed_on_the_gpu_with_its_optimizers_state(
    model: str, store: Store, tmp_path: Path
) -> None:
    options = {"device": "cuda", "schedule": "constant", **MODELS[model]}
    whole = train(store, tmp_path / "whole", **options)
    train(store, tmp_path / "run", **options, max_steps=13)
    run = train(store, tmp_path / "run", **options, resume=True, max_steps=20)
    assert losses(run) == pytest.approx(losses(whole), abs=1e-4)


@pytest.mark.parametrize("model", ["lstm", "views"])
def test_ranks_that_share_a_gpu_train_the_model_of_one(
    model: str, store: Store, tmp_path: Path
) -> None:
    alone = train(store, tmp_path / "alone", device="cuda:0", **MODELS[model])
    for balance, exchange, limit in (("equal", "full", 1e-4), ("dynamic", "bf16", 1e-2)):
        out = tmp_path / balance
        done = run_ranks(2, "-m", "mpi_train", *arguments(
            store, out, device="cuda:0", backend="gloo", balance=balance, exchange=exchange,
            **MODELS[model]))
        assert done.returncode == 0, done.stderr
        assert losses(out) == pytest.approx(losses(alone), abs=limit)


def test_a_micro_batch_that_the_memory_does_not_hold_is_halved(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"train": 600, "validation": 10}, length=256)
    options = {"device": "cuda", "batch_size": 600, "embedding_dim": 512, "hidden_dim": 512,
               "epochs": 3}
    small = train(store, tmp_path / "small", micro_batch_tokens=4096, **options)
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    room = torch.cuda.memory_reserved() + (512 << 20)
    torch.cuda.set_per_process_memory_fraction(room / whole)
    try:
        large = train(store, tmp_path / "large", micro_batch_tokens=1 << 18, **options)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert losses(large) == pytest.approx(losses(small), abs=1e-3)


def test_a_profile_has_the_kernels_and_the_memory(store: Store, tmp_path: Path) -> None:
    run = train(store, tmp_path / "run", device="cuda", profile=True)
    page = (run / "profile" / "summary.txt").read_text()
    found = re.search(r"had work for ([\d.]+) ms of each, and ([\d.]+) GB at most", page)
    assert found and float(found[1]) > 0


def test_nccl_sums_for_a_group_of_one() -> None:
    group = make_process_group("ProcessGroupNCCL", dist.HashStore(), 0, 1)
    values = torch.arange(5.0, device="cuda")
    group.allreduce([values]).wait()
    RoundedSum(group, values, 1).wait()
    assert values.tolist() == [0, 1, 2, 3, 4]


def test_a_ddp_script_is_balanced_under_nccl(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "balance-your-own.md").read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", page, flags=re.S)[0]
    script = tmp_path / "script.py"
    script.write_text("import torch\ntorch.set_default_device('cuda')\n"
                      + code.replace('"gloo"', '"nccl"') + "print(balancer.shares.tolist())\n")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", "--master-port",
         "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", str(script)],
        capture_output=True, text=True, timeout=240, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "EPOCHS": "1"})
    assert done.returncode == 0, done.stderr
    assert "[64]" in done.stdout


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_encoder_is_trained_as_on_the_processor(precision: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.encoders import make_encoder, sentences

    if precision == "bf16":
        needs_bf16()
    encoder, source = tmp_path / "encoder", tmp_path / "reviews.csv"
    make_encoder(encoder)
    source.write_text("text,label\n" + "".join(
        f"{text},{int('good' in text)}\n" for text in sentences(500, seed=2)))
    store = tmp_path / "store"
    assert reviewmill.main(
        ["prepare", str(source), "--out", str(store), "--length", "24", "--tokenizer",
         f"huggingface:{encoder}", "--dedupe", "none", "--text-field", "text", "--label-field",
         "label", "--workers", "1"]) == 0
    runs = []
    for device, rounded in (("cpu", "fp32"), ("cuda", precision)):
        runs.append(tmp_path / device)
        assert reviewmill.main(
            ["train", str(store), "--out", str(runs[-1]), "--model", "transformer", "--encoder",
             str(encoder), "--epochs", "1", "--device", device, "--precision", rounded]) == 0
    limit = 1e-3 if precision == "fp32" else 3e-2
    assert losses(runs[1]) == pytest.approx(losses(runs[0]), abs=limit)

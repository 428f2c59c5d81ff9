"""`train --precision fp16`: overflows are redone, and change nothing that is learned."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mpi_train.__main__ import main
from mpi_train.checkpoint import last_checkpoint
from mpi_train.configuration.groups import LARGEST_LOSS_SCALE, RunOptions
from mpi_train.monitoring.noise_meter import NoiseMeter
from mpi_train.optimization.loss_scale import LossScale
from reviews.bundle import read_bundle
from reviews.errors import UserError
from reviews.store import Store
from tests.mpi_train.ranks import run_ranks
from tests.mpi_train.runs import arguments, difference, losses, records, train
from tests.stores import make_store

FP16 = {"precision": "fp16", "model": "cnn", "keep": "last"}
TOO_LARGE = {**FP16, "loss_scale": LARGEST_LOSS_SCALE, "max_steps": 12}
ON_RANKS: dict[str, dict[str, Any]] = {
    "shm": {"backend": "shm", "shares": "0,1"},  # only rank 1 finds the overflow
    "gloo": {"backend": "gloo", "shares": "3,1", "clip_norm": 0.1, "model": "gru", "ngrams": 2,
             "buckets": 97, "ngram_dim": 4},
    "fsdp": {"parallel": "fsdp", "shares": "3,1", "clip_norm": 0.1},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("fp16") / "store",
                      {"train": 600, "validation": 80}, length=16, vocabulary=60)


@pytest.fixture(scope="module")
def on_ranks(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one start of two ranks; state.json has what rank 1 heard of rank 0."""
    top = tmp_path_factory.mktemp("ranks")
    lines = {name: arguments(store, top / name, **{**TOO_LARGE, "max_steps": 4, **options})
             for name, options in ON_RANKS.items()}
    done = run_ranks(2, "-m", "tests.mpi_train.optimization.loss_scale_ranks", json.dumps({
        str(top / name): [part for part in line if not part.startswith("--out=")]
        for name, line in lines.items()}))
    assert done.returncode == 0, done.stderr
    (top / "state.json").write_text(done.stdout.splitlines()[-1])
    return top


def scales(run: Path) -> list[float]:
    return [step["loss_scale"] for step in records(run, "step")]


@pytest.mark.parametrize("name", ON_RANKS)
def test_all_ranks_do_a_batch_again_that_overflowed_on_one(name: str, on_ranks: Path) -> None:
    redone, again = on_ranks / name, on_ranks / f"{name}-again"
    halved = records(redone, "step")[0]["overflows"]
    assert halved > 0
    assert scales(redone)[0] == LARGEST_LOSS_SCALE / 2**halved
    assert records(again, "step")[0]["overflows"] == 0
    assert losses(redone) == losses(again)
    assert difference(read_bundle(redone).weights, read_bundle(again).weights) == 0


def test_a_rank_that_comes_back_hears_of_the_loss_scale(on_ranks: Path) -> None:
    state = json.loads((on_ranks / "state.json").read_text())
    assert state == {"value": 32.0, "finite": 1, "overflows": 1}


@pytest.mark.parametrize("options", [{"model": "cnn"}, {"model": "gru"},
                                     {"model": "bag", "buckets": 97}])
def test_it_learns_as_fp32_does_whatever_the_scale(
    options: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    options = {**options, "max_steps": 12, "clip_norm": 0.2}
    exact = train(store, tmp_path / "exact", **options)
    found = [train(store, tmp_path / str(scale), precision="fp16", loss_scale=scale, **options)
             for scale in (1 << 10, 1 << 16)]
    for run in found:
        assert losses(run) != losses(exact)
        assert losses(run) == pytest.approx(losses(exact), rel=5e-3)


def test_a_resumed_run_has_the_loss_scale_of_an_uninterrupted_one(
    store: Store, tmp_path: Path
) -> None:
    options = {**TOO_LARGE, "loss_scale_window": 3, "schedule": "constant"}
    whole = train(store, tmp_path / "whole", **options)
    train(store, tmp_path / "run", **{**options, "max_steps": 5})
    assert main(["--out", str(tmp_path / "run"), "--resume", "--max-steps", "12"]) == 0
    run = tmp_path / "run"
    assert scales(run) == scales(whole)
    assert scales(whole)[3:5] == [2 * scales(whole)[0]] * 2
    assert losses(run) == losses(whole)
    assert difference(read_bundle(whole).weights, read_bundle(run).weights) == 0
    steps = records(whole, "step")
    for each in (run, whole):
        summary = json.loads((each / "summary.json").read_text())["loss_scale"]
        assert summary == records(each, "epoch")[-1]["loss_scale"]
        assert summary["overflows"] == sum(step["overflows"] for step in steps)
    assert (run / "log.txt").read_text().endswith(" overflows so far\n")


def test_an_overflow_at_the_smallest_scale_ends_the_run(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(arguments(store, run, **FP16, positive_weight=1e9, loss_scale=8)) == 3
    reason = ("the gradient of epoch 1, update 1 is not finite on rank 0, at the smallest loss "
              "scale: stopped before the update")
    assert reason in capsys.readouterr().out
    assert [record["reason"] for record in records(run, "failure")] == [reason]
    assert last_checkpoint(run) is None


def test_a_loss_that_is_no_number_ends_the_run_at_any_scale(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(arguments(store, run, **FP16, learning_rate=1e30, schedule="constant")) == 3
    assert "the loss of epoch 1, update 2 is not finite on rank 0: stopped" in (
        capsys.readouterr().out)


@pytest.mark.parametrize("model", ["lstm", "bilstm-attention"])
def test_what_processors_lack_in_float16_is_refused(
    model: str, store: Store, tmp_path: Path
) -> None:
    layer, words = torch.nn.LSTM(3, 2), torch.zeros(4, 1, 3, requires_grad=True)
    with torch.autocast("cpu", torch.float16), pytest.raises(RuntimeError):
        layer(words)
    with pytest.raises(UserError, match=f"fp16 trains --model {model} on GPUs alone") as refused:
        train(store, tmp_path / "run", model=model, precision="fp16", device="cpu")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_it_doubles_after_a_window_of_finite_gradients_up_to_the_largest() -> None:
    scale = LossScale(LARGEST_LOSS_SCALE / 4, window=2)
    found = []
    for overflowed in (False, True, False, False, False, False, False, False, False, False):
        if overflowed:
            assert scale.halve()
        scale.keep()
        found.append(scale.value * 8 / LARGEST_LOSS_SCALE)
    assert found == [2, 1, 2, 2, 4, 4, 8, 8, 8, 8]


def test_other_types_have_none() -> None:
    scale = LossScale.of(RunOptions(precision="bf16"))
    for _ in range(5000):
        scale.keep()
    assert scale.value == 1
    assert not scale.halve()
    assert scale.state() is None


def test_the_options_are_powers_of_two_for_fp16(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--loss-scale is 1000: give a power of two, such as 512"):
        train(store, tmp_path / "run", **FP16, loss_scale=1000)
    for name in ("loss-scale", "loss-scale-window"):
        with pytest.raises(UserError, match=f"--{name} is for --precision fp16: "):
            main(arguments(store, tmp_path / "run", **{name: 8}))


def test_the_gradient_noise_scale_is_that_of_fp32(store: Store, tmp_path: Path) -> None:
    noises = []
    for precision in ("fp32", "fp16"):
        run = train(store, tmp_path / precision, model="cnn", precision=precision, max_steps=1,
                    noise_scale=True)
        [step] = records(run, "step")
        noises.append(step["noise"])
    assert noises[0] != noises[1]
    assert noises[1] == pytest.approx(noises[0], rel=2e-2)


def test_a_sample_that_overflows_is_no_estimate_of_the_noise() -> None:
    class Replica:
        def square(self) -> float:
            return 1.0

    meter = NoiseMeter(Replica(), seed=0)  # type: ignore[arg-type]
    meter._sample = meter._sample._replace(positions=np.arange(3))
    assert meter.estimate(64, np.array([1.0, 2.0])) is not None
    assert meter.estimate(64, np.array([1.0, np.inf])) is None

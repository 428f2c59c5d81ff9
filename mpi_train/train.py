"""The training loop: one plan, whoever works on it."""

import math
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpi_train.checkpoint import last_checkpoint, save_checkpoint
from mpi_train.communicator import Communicator, Stopped
from mpi_train.config import TrainingConfig
from mpi_train.data import Batch, BatchReader, SplitReader
from mpi_train.gradients import GradientBuckets
from mpi_train.journal import Journal, environment, store_entry
from mpi_train.losses import binary_cross_entropy
from mpi_train.model_folder import save_model
from mpi_train.models import Recurrent, build
from mpi_train.models.dropout import Draws
from mpi_train.plan import cut, micro_batches, prefix_cost
from mpi_train.predict import gather_logits, to_tensors
from mpi_train.schedules import learning_rate
from reviews.metrics import evaluate_scores
from reviews.store import Store

PRECISIONS = {"fp32": torch.float32, "fp64": torch.float64}


def make_optimizer(config: TrainingConfig, model: Recurrent) -> torch.optim.Optimizer:
    """Adam or SGD with momentum, in one fused kernel over all parameters."""
    if config.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), config.learning_rate, fused=True)
    return torch.optim.SGD(
        model.parameters(), config.learning_rate, momentum=config.momentum, fused=True
    )


def back_propagate(
    model: Recurrent, gradients: GradientBuckets, batch: Batch, part: tuple[int, int],
    place: tuple[int, int], config: TrainingConfig, device: torch.device,
) -> float:
    """Add the gradient of a part of a batch, in micro-batches; return its summed loss.

    Losses are divided by the size of the whole batch before the backward pass, and the ranks'
    gradients are summed: the update is that of one process.

    Args:
        part: positions (first, last) in the batch.
        place: (epoch, update), which the dropout masks are drawn for.
    """
    first, last = part
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    bounds = first + micro_batches(batch.lengths[first:last], config.micro_batch_tokens)
    for begin, end in pairwise(bounds.tolist()):
        rows = batch.take(begin, end)
        draws = Draws.of(config.seed, *place, torch.arange(begin, end, device=device))
        logits = model(*to_tensors(rows, device), draws)  # (n,)
        labels = torch.from_numpy(rows.labels).to(device)
        loss = binary_cross_entropy(logits, labels, config.positive_weight)
        if end == last:
            gradients.arm()
        (loss / len(batch.lengths)).backward()
        loss_sum += loss.detach()
    return loss_sum.item()


def train(config: TrainingConfig, communicator: Communicator) -> dict[str, Any]:
    """Train as configured; return the summary. All ranks of the communicator call this.

    Raises Stopped, on all ranks and before the update, when a loss is not finite.
    """
    started = time.perf_counter()
    store = Store(config.store)
    rank, device = communicator.rank, communicator.device
    ratios = config.ratios(communicator.size)
    reader = BatchReader(store, "train", config.batch_size, config.seed, config.window)
    validation = SplitReader(store, "validation")
    plan = reader.plan
    total = config.epochs * plan.updates
    total = min(total, config.max_steps) if config.max_steps else total

    torch.manual_seed(config.seed)
    options = config.model_options(store)
    model = build(options).to(device, PRECISIONS[config.precision])
    optimizer = make_optimizer(config, model)
    state: dict[str, Any] = {"step": 0, "store": store.fingerprint, "best": None,
                             "seconds": 0.0, "reviews": 0, "step_seconds": 0.0}
    if config.resume:
        state = resume(state, model, optimizer, config, communicator)
    for parameter in model.parameters():
        communicator.share(parameter)
    gradients = GradientBuckets(model, communicator)
    journal = Journal(config, rank == 0)
    journal.forget_after(state["step"])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    journal.log(f"{plan.rows:,} reviews, {plan.updates:,} updates an epoch, {parameters:,} "
                f"parameters, {communicator.size} ranks ({communicator.backend}), "
                f"{torch.get_num_threads()} threads each")

    earlier_seconds, optimizer_s = state["seconds"], 0.0
    for epoch in range(state["step"] // plan.updates, config.epochs):
        if state["step"] >= total:
            break
        epoch_started, epoch_loss, epoch_reviews = time.perf_counter(), 0.0, 0
        journal.start_epoch(plan.rows, f"epoch {epoch + 1}/{config.epochs}")
        for update in range(plan.updates):
            if state["step"] >= total:
                break
            step_started = time.perf_counter()
            batch = reader.batch(epoch, update)
            size = len(batch.lengths)
            prefix = prefix_cost(batch.lengths, config.micro_batch_tokens)
            cuts = cut(prefix, ratios)  # (ranks + 1,)
            part = (int(cuts[rank]), int(cuts[rank + 1]))

            gradients.start()
            own_loss = back_propagate(
                model, gradients, batch, part, (epoch, update), config, device
            )
            compute_s = time.perf_counter() - step_started + optimizer_s
            wait_s = gradients.finish()

            # A word from every rank before anything changes: (ranks, 3).
            words = communicator.gather_all([own_loss, compute_s, wait_s])
            loss = float(words[:, 0].sum()) / size
            if not math.isfinite(loss):
                culprits = np.flatnonzero(~np.isfinite(words[:, 0])).tolist()
                reason = (f"the loss of epoch {epoch + 1}, update {update + 1} is not finite on "
                          f"rank {', '.join(map(str, culprits))}: stopped before the update")
                journal.record("failure", step=state["step"] + 1, epoch=epoch, update=update,
                               reason=reason)
                journal.end_epoch()
                journal.log(reason)
                raise Stopped(reason)

            rate = learning_rate(config.schedule, config.learning_rate, state["step"], total,
                                 config.warmup_steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer_started = time.perf_counter()
            optimizer.step()
            now = time.perf_counter()
            # It runs after the ranks have spoken, so it counts in the next update's time.
            optimizer_s = now - optimizer_started

            state["step"] += 1
            state["reviews"] += size
            state["step_seconds"] += now - step_started
            epoch_loss += loss * size
            epoch_reviews += size
            journal.record(
                "step", step=state["step"], epoch=epoch, loss=loss, learning_rate=rate,
                reviews=size, tokens=int(prefix[-1]), step_s=now - step_started,
                reviews_per_s=size / (now - step_started), shares=np.diff(cuts).tolist(),
                share_tokens=np.diff(prefix[cuts]).tolist(),
                compute_s=words[:, 1].tolist(), wait_s=words[:, 2].tolist(),
            )
            journal.advance(size, loss)

        journal.end_epoch()
        seconds = time.perf_counter() - epoch_started
        figures = validate(model, validation, config, communicator, store.classes)
        if rank == 0:
            scores = figures or {"accuracy": None}
            if config.keep == "last" or is_better(scores, state["best"]):
                state["best"] = {"epoch": epoch, "accuracy": scores["accuracy"]}
                save_model(config, options, model, store, figures)
            state["seconds"] = earlier_seconds + time.perf_counter() - started
            if state["step"] == (epoch + 1) * plan.updates:
                save_checkpoint(journal.out, epoch + 1, state, model, optimizer)
        accuracy = f", validation accuracy {figures['accuracy']:.2%}" if figures else ""
        journal.record("epoch", epoch=epoch, step=state["step"], loss=epoch_loss / epoch_reviews,
                       reviews=epoch_reviews, seconds=seconds,
                       reviews_per_s=epoch_reviews / seconds, validation=figures)
        journal.log(f"epoch {epoch + 1}/{config.epochs}: loss {epoch_loss / epoch_reviews:.4f}, "
                    f"{epoch_reviews / seconds:,.0f} reviews/s{accuracy}")
        # What rank 0 writes is no waiting for a reduction.
        communicator.barrier()

    summary = {
        "finished": True, "epochs": -(-state["step"] // plan.updates), "steps": state["step"],
        "seconds": earlier_seconds + time.perf_counter() - started,
        "reviews_per_s": state["reviews"] / max(state["step_seconds"], 1e-9),
        "best": state["best"], "parameters": parameters, "ranks": communicator.size,
        "backend": communicator.backend, "hosts": communicator.hosts,
        "store": store_entry(store), "environment": environment(),
    }
    journal.summarize(**summary)
    return summary


def resume(
    fresh: dict[str, Any], model: Recurrent, optimizer: torch.optim.Optimizer,
    config: TrainingConfig, communicator: Communicator,
) -> dict[str, Any]:
    """The state of the last checkpoint, with its tensors put in place; `fresh` without one."""
    checkpoint = communicator.from_root(lambda: last_checkpoint(Path(config.out)))
    if checkpoint is None:
        return fresh
    state = {name: checkpoint.state[name] for name in fresh}
    if state["store"] != fresh["store"]:
        communicator.agree(f"{config.store} is not the store that {config.out} was trained on")
    checkpoint.restore(model, optimizer)
    return state


def validate(
    model: Recurrent, reader: SplitReader, config: TrainingConfig, communicator: Communicator,
    classes: Sequence[str],
) -> dict[str, Any] | None:
    """Figures on the validation split; None on other ranks than 0, or without such a split."""
    blocks = reader.blocks(communicator.rank, communicator.size)
    scored = gather_logits(model, blocks, communicator, config.micro_batch_tokens)
    if scored is None or len(scored[0]) == 0:
        return None
    figures = evaluate_scores(*scored, classes)
    return {name: figures[name] for name in ("n", "loss", "accuracy", "f1_macro", "roc_auc")}


def is_better(figures: Mapping[str, Any], best: Mapping[str, Any] | None) -> bool:
    """Whether the accuracy is the highest so far; of equals the first stays."""
    return best is None or figures["accuracy"] > best["accuracy"]

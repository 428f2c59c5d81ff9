"""Limit of a core with nothing around the model: forward and backward alone.

    python -m benchmarks.peers.bare_loop STORE --updates 10

On one core, the trainer's own model on the plan's own batches, all of them in memory as tensors,
in micro-batches of whatever size is fastest: no reading, no gradient exchange, no optimizer. And
the loader by itself, over whole epochs. Prints JSON.
"""

import argparse
import json
import time
from itertools import pairwise
from statistics import median

import numpy as np
import torch

from models.micro_batches import micro_batches, prefix_cost
from models.nets import build
from models.nets.dropout import DropoutRandom
from models.nets.predict import to_tensors
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import Batch, BatchReader
from mpi_train.exchange.process_setup import prepare_process
from mpi_train.optimization.losses import Loss
from mpi_train.plan import cut
from reviews.store import Store

LOADED = 5  # epochs of the loader by itself
SIZES = (2048, 4096, 8192)  # padded tokens of a micro-batch
CPU = torch.device("cpu")


def tokens_a_second(store: Store, config: TrainingConfig, batches: list[Batch], size: int) -> float:
    """Padded tokens a second, forward and backward; the first batch warms up."""
    torch.manual_seed(0)
    model, loss = build(config.model_options(store)), Loss.of(config.loss)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    pieces = []
    for number, batch in enumerate(batches):
        for first, last in pairwise(micro_batches(batch.lengths, size).tolist()):
            rows = batch.take(first, last)
            draws = DropoutRandom.of(0, 0, number, torch.arange(first, last))
            pieces.append((number, *to_tensors(rows, CPU), torch.from_numpy(rows.labels), draws))
    tokens, started = 0, time.perf_counter()
    for number, words, lengths, labels, draws in pieces:
        (loss.sum(model(words, lengths, draws), labels) / config.data.batch_size).backward()
        tokens += words.numel()
        if number == 0:
            tokens, started = 0, time.perf_counter()
    return tokens / (time.perf_counter() - started)


def real_part(batches: list[Batch], size: int, ranks: int) -> float:
    """Real tokens among those computed, with batches cut into equal parts for the ranks."""
    real = padded = 0
    for batch in batches:
        cuts = cut(prefix_cost(batch.lengths, size), [1.0] * ranks)
        for first, last in pairwise(cuts.tolist()):
            real += int(batch.lengths[first:last].sum())
            padded += int(prefix_cost(batch.lengths[first:last], size)[-1])
    return real / padded


def loaded_a_second(store: Store, config: TrainingConfig) -> float:
    """Reviews that the loader makes tensors of in a second of CPU time, of all its threads.

    The median of some epochs; what the first one does besides, checks and opens files.
    """
    data = config.data
    reader = BatchReader(store, "train", data.batch_size, config.run.seed, data.window)
    speeds = []
    for epoch in range(1 + LOADED):
        started = time.process_time()
        for update in range(reader.plan.updates):
            batch = reader.batch(epoch, update)
            for first, last in pairwise(
                    micro_batches(batch.lengths, data.micro_batch_tokens).tolist()):
                to_tensors(batch.take(first, last), CPU)
        speeds.append(reader.plan.rows / (time.process_time() - started))
    return median(speeds[1:])


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--hidden-dim", type=int, default=64)
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--ranks", type=int, default=2)
    options = parser.parse_args()
    prepare_process(1, 1)
    store = Store(options.store)
    config = TrainingConfig.of(batch_size=options.batch_size, hidden_dim=options.hidden_dim,
                               bidirectional=options.bidirectional)
    data = config.data
    reader = BatchReader(store, "train", data.batch_size, config.run.seed, data.window)
    updates = np.arange(1 + options.updates) % reader.plan.updates
    batches = [reader.batch(0, int(update)) for update in updates]
    speeds = {size: tokens_a_second(store, config, batches, size) for size in SIZES}
    best = max(speeds, key=speeds.__getitem__)
    print(json.dumps({
        "tokens_per_s": speeds[best], "micro_batch_tokens": best,
        "real_part": real_part(batches, config.data.micro_batch_tokens, options.ranks),
        "loaded_per_s": loaded_a_second(store, config),
    }))


if __name__ == "__main__":
    main()

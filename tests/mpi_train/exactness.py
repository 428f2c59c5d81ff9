"""Run on 3 ranks: gradients of groups of 1, 2 and 3 of them against one plain backward pass.

The reference is torch's own mean loss over the whole batch, padded to the store's length, in
one piece: no plan, no micro-batches, no buckets. Prints {case: relative L2 error} as JSON.
"""

import dataclasses
import itertools
import json
import sys

import numpy as np
import torch
from mpi4py import MPI
from torch.nn import functional

from mpi_train.backward import BackPropagation
from mpi_train.communicator import Communicator
from mpi_train.config import TrainingConfig
from mpi_train.data import BatchReader
from mpi_train.gradients import GradientBuckets
from mpi_train.group import Group
from mpi_train.models import build
from mpi_train.models.dropout import Draws
from mpi_train.plan import cut, prefix_cost
from mpi_train.process import prepare_process
from mpi_train.train import PRECISIONS
from reviews.store import Store

SHARES = {
    1: [(1.0,)],
    2: [(1.0, 1.0), (3.0, 1.0), (0.0, 1.0)],
    3: [(1.0, 1.0, 1.0), (5.0, 0.0, 1.0), (0.2, 0.3, 0.5)],
}
MODELS = {
    "lstm": {"model": "lstm", "layers": 2, "pooling": "mean+max"},
    "gru": {"model": "gru", "layers": 2, "bidirectional": True, "pooling": "last"},
    "bilstm": {"model": "lstm", "layers": 2, "bidirectional": True, "pooling": "max"},
    "bigru": {"model": "gru", "bidirectional": True, "pooling": "mean+max"},
}
PLACE = (3, 1)  # epoch and update


def cases() -> list[tuple[int, tuple[float, ...], str, str, str]]:
    """(ranks, shares, model, precision, backend); fp32 and mpi on a part of the grid."""
    found = []
    for ranks, model, precision in itertools.product(SHARES, MODELS, PRECISIONS):
        for shares in SHARES[ranks] if precision == "fp64" else SHARES[ranks][1:2]:
            found.append((ranks, shares, model, precision, "gloo"))
    return [*found, *((ranks, SHARES[ranks][-1], "lstm", "fp64", "mpi") for ranks in (2, 3))]


def configuration(model: str, precision: str) -> TrainingConfig:
    """Small, with both kinds of dropout and a positive weight."""
    return TrainingConfig(
        embedding_dim=12, hidden_dim=8, dropout=0.4, word_dropout=0.2, batch_size=120,
        micro_batch_tokens=256, positive_weight=0.7, precision=precision, seed=5,
        **MODELS[model],
    )


def plain_gradient(store: Store, config: TrainingConfig) -> list[torch.Tensor]:
    """The gradient of the mean loss over the batch, by torch alone."""
    batch = BatchReader(store, "train", config.batch_size, config.seed, config.window).batch(*PLACE)
    rows = batch.take(0, len(batch.lengths))
    tokens = np.zeros((len(rows.lengths), store.length), np.int64)
    tokens[:, : rows.tokens.shape[1]] = rows.tokens
    torch.manual_seed(config.seed)
    model = build(config.model_options(store)).to(PRECISIONS[config.precision])
    draws = Draws.of(config.seed, *PLACE, torch.arange(len(tokens)))
    logits = model(torch.from_numpy(tokens), torch.from_numpy(rows.lengths), draws)
    functional.binary_cross_entropy_with_logits(
        logits, torch.from_numpy(rows.labels).to(logits.dtype),
        pos_weight=torch.tensor(config.positive_weight, dtype=logits.dtype),
    ).backward()
    return [parameter.grad for parameter in model.parameters()]


def divided_gradient(
    store: Store, config: TrainingConfig, group: Group, rank: int, shares: tuple[float, ...]
) -> list[torch.Tensor]:
    """The gradient as the trainer computes it."""
    batch = BatchReader(store, "train", config.batch_size, config.seed, config.window).batch(*PLACE)
    torch.manual_seed(config.seed)
    model = build(config.model_options(store)).to(PRECISIONS[config.precision])
    gradients = GradientBuckets(model, group, bucket_bytes=4096)
    backward = BackPropagation(config, model, gradients, torch.device("cpu"))
    bounds = cut(prefix_cost(batch.lengths, config.micro_batch_tokens), shares)
    part = (int(bounds[rank]), int(bounds[rank + 1]))
    for _ in range(2):  # the second update must not see the first one's sums
        backward.run(batch, part, PLACE)
        gradients.finish()
    return [parameter.grad for parameter in model.parameters()]


def relative_error(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """L2 norm of the difference over that of the first, over all parameters."""
    a = torch.cat([tensor.flatten() for tensor in one]).double()
    b = torch.cat([tensor.flatten() for tensor in other]).double()
    return float((a - b).norm() / a.norm())


def main() -> None:
    """Run all cases; rank 0 prints."""
    store = Store(sys.argv[1])
    prepare_process(1, 1)
    plain = {
        (model, precision): plain_gradient(store, configuration(model, precision))
        for model, precision in itertools.product(MODELS, PRECISIONS)
    }
    errors = {}
    by_group = itertools.groupby(sorted(cases(), key=lambda case: (case[0], case[4])),
                                 key=lambda case: (case[0], case[4]))
    for (ranks, backend), together in by_group:
        inside = MPI.COMM_WORLD.Get_rank() < ranks
        world = MPI.COMM_WORLD.Split(0 if inside else 1)
        if inside:
            communicator = Communicator(world)
            communicator.connect(backend)
            group = Group(communicator)
            with communicator.together():
                for _, shares, model, precision, _ in together:
                    config = configuration(model, precision)
                    config = dataclasses.replace(config, shares=shares)
                    divided = divided_gradient(store, config, group, communicator.rank,
                                               config.ratios(ranks))
                    error = relative_error(plain[model, precision], divided)
                    name = f"{model} {precision} {backend} {','.join(f'{s:g}' for s in shares)}"
                    # Every rank must hold the sum, not just rank 0.
                    errors[name] = float(world.allreduce(error, MPI.MAX))
        MPI.COMM_WORLD.Barrier()
    if MPI.COMM_WORLD.Get_rank() == 0:
        print(json.dumps(errors))


if __name__ == "__main__":
    main()

"""Run on 3 ranks: gradients of groups of 1, 2 and 3 of them against one plain backward pass.

The reference is torch's own mean loss over the whole batch, padded to the store's length, in
one piece: no plan, no micro-batches, no buckets. Prints {case: relative L2 error} as JSON.
"""

import itertools
import json
import sys
from typing import NamedTuple

import numpy as np
import torch
from mpi4py import MPI
from torch.nn import functional

from models.micro_batches import prefix_cost
from models.nets import build
from models.nets.bag import Table
from models.nets.dropout import DropoutRandom
from mpi_train.backward import BackPropagation
from mpi_train.configuration.config import TrainingConfig
from mpi_train.data import BatchReader
from mpi_train.exchange.communicator import Communicator
from mpi_train.exchange.gradient_buckets import GradientBuckets
from mpi_train.exchange.group import Group
from mpi_train.exchange.process_setup import has_bf16, prepare_process
from mpi_train.exchange.shared_gradients import SharedGradients
from mpi_train.monitoring.phase_timer import PhaseTimer
from mpi_train.plan import cut
from mpi_train.replica import PRECISIONS
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
    "bilstm-attention": {"model": "bilstm-attention", "layers": 2},
    "ngrams": {"model": "lstm", "bidirectional": True, "ngrams": 3, "buckets": 300,
               "ngram_dim": 6},
    "frozen": {"model": "gru", "bidirectional": True, "word_vectors": "store",
               "freeze_vectors": True},
    "cnn": {"model": "cnn", "widths": (1, 2, 5), "filters": 6},
    "mlp": {"model": "mlp", "layers": 2, "ngrams": 2, "buckets": 300, "ngram_dim": 6},
    "bag": {"model": "bag", "optimizer": "adagrad", "ngrams": 3, "buckets": 300},
}
# Each is tried on one model; the grid over the models has a positive weight.
LOSSES = {
    "bce": {"positive_weight": 0.7},
    "bce-smooth": {"class_weights": "0.4,3", "label_smoothing": 0.1},
    "cross-entropy": {"loss": "cross-entropy", "class_weights": "0.4,3", "label_smoothing": 0.1},
    "focal": {"loss": "focal", "class_weights": "0.4,3", "focal_gamma": 1.5},
}
EARLIER, PLACE = (3, 0), (3, 1)  # epochs and updates


class Case(NamedTuple):
    """One gradient on some ranks."""

    ranks: int
    backend: str
    shares: tuple[float, ...]
    model: str
    loss: str
    precision: str


def cases() -> list[Case]:
    """fp32, its exchange as bf16, mpi, shm, two levels and the losses on a part of the grid."""
    found = []
    for ranks, model, precision in itertools.product(SHARES, MODELS, ("fp32", "fp64")):
        for shares in SHARES[ranks] if precision == "fp64" else SHARES[ranks][1:2]:
            found.append(Case(ranks, "gloo", shares, model, "bce", precision))
    for loss, precision in itertools.product(LOSSES, ("fp32", "fp64")):
        found += [Case(3, "gloo", SHARES[3][1], "cnn", loss, precision)]
    # Without the hardware, recurrent layers have no bf16 at all.
    for model in ("bilstm", "cnn") if has_bf16(torch.device("cpu")) else ("cnn",):
        found += [Case(3, "gloo", SHARES[3][-1], model, "bce", "bf16")]
    found += [Case(3, backend, SHARES[3][-1], model, "bce", "fp16")
              for backend in ("gloo", "shm") for model in ("bigru", "cnn", "bag")]
    found += [Case(ranks, "gloo", shares[-1], "lstm", "bce", "fp32-bf16")
              for ranks, shares in SHARES.items()]
    found += [Case(3, "shm+gloo", SHARES[3][-1], "lstm", "bce", "fp32-bf16")]
    for backend, ranks, model in itertools.product(
            ("mpi", "shm", "shm+gloo"), (2, 3), ("lstm", "frozen", "bag")):
        for shares in SHARES[ranks]:
            found += [Case(ranks, backend, shares, model, "bce", "fp64")]
    return sorted(set(found))


def configuration(model: str, loss: str, precision: str) -> TrainingConfig:
    """Small, with both kinds of dropout."""
    precision, _, exchange = precision.partition("-")
    return TrainingConfig.of(
        embedding_dim=12, hidden_dim=8, dropout=0.4, word_dropout=0.2, batch_size=60,
        micro_batch_tokens=128, precision=precision, exchange=exchange or "full", seed=5,
        **MODELS[model], **LOSSES[loss],
    )


def mean_loss(config: TrainingConfig, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean over the batch, by torch alone."""
    weights = torch.tensor(config.loss.weights, dtype=logits.dtype)
    labels = labels.repeat(len(logits) // len(labels))  # once for each view
    if config.loss.loss == "cross-entropy":
        return functional.cross_entropy(
            logits, labels, weights, label_smoothing=config.loss.label_smoothing)
    truth = labels.to(logits.dtype)
    if config.loss.loss == "focal":
        right = torch.where(labels == 1, logits.sigmoid(), (-logits).sigmoid())
        return (-weights[labels] * (1 - right) ** config.loss.focal_gamma * right.log()).mean()
    smooth = truth * (1 - config.loss.label_smoothing) + config.loss.label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(
        logits, smooth, weights[labels] if config.loss.weights else None,
        pos_weight=torch.tensor(config.loss.positive_weight, dtype=logits.dtype))


def new_model(store: Store, config: TrainingConfig) -> torch.nn.Module:
    """The model of a start, the same each time."""
    torch.manual_seed(config.run.seed)
    model = build(config.model_options(store)).to(PRECISIONS[config.run.precision])
    if config.vectors and config.vectors.freeze_vectors:
        model.embedding.weight.requires_grad_(False)
    return model


def plain_gradient(store: Store, config: TrainingConfig) -> list[torch.Tensor]:
    """The gradient of the mean loss over the batch, by torch alone."""
    reader = BatchReader(store, "train", config.data.batch_size, config.run.seed,
                         config.data.window, features=config.reads_features)
    batch = reader.batch(*PLACE)
    rows = batch.take(0, len(batch.lengths))
    tokens = np.zeros((len(rows.lengths), store.length), np.int64)
    tokens[:, : rows.tokens.shape[1]] = rows.tokens
    model = new_model(store, config)
    draws = DropoutRandom.of(config.run.seed, *PLACE, torch.arange(len(tokens)))
    inputs = [torch.from_numpy(tokens), torch.from_numpy(rows.lengths)]
    if rows.features is not None:
        inputs.append(torch.from_numpy(rows.features))
    logits = model(*inputs, draws=draws)
    mean_loss(config, logits, torch.from_numpy(rows.labels).long()).backward()
    for module in model.modules():
        if isinstance(module, Table):
            [(found, values)] = module.parts
            module.weight.grad = torch.zeros_like(module.weight).index_add_(0, found, values)
    return [parameter.grad for parameter in model.parameters() if parameter.requires_grad]


def divided_gradient(
    store: Store, config: TrainingConfig, group: Group, rank: int, shares: tuple[float, ...]
) -> list[torch.Tensor]:
    """The gradient as the trainer computes it."""
    reader = BatchReader(store, "train", config.data.batch_size, config.run.seed,
                         config.data.window, features=config.reads_features)
    model = new_model(store, config)
    gradients: GradientBuckets | SharedGradients
    if group.shares_memory:
        gradients = SharedGradients(model, group)
    else:
        # Word vectors are exchanged by the rows of the update's words, or as a whole.
        few = 1.0 if shares[0] == max(shares) else 0.0
        gradients = GradientBuckets(model, group, bucket_bytes=4096, few=few,
                                    rounded=config.exchange.exchange == "bf16")
    backward = BackPropagation(config, model, gradients, torch.device("cpu"), PhaseTimer())
    for place in (EARLIER, PLACE):  # the second update must not see the first one's sums
        batch = reader.batch(*place)
        bounds = cut(prefix_cost(batch.lengths, config.data.micro_batch_tokens), shares)
        backward.run(batch, (int(bounds[rank]), int(bounds[rank + 1])), place)
        gradients.finish(np.array(shares) / sum(shares), 1 / backward.loss_scale.value)
    return [parameter.grad.to_dense() for parameter in model.parameters()
            if parameter.requires_grad]


def relative_error(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """L2 norm of the difference over that of the first, over all parameters."""
    a = torch.cat([tensor.flatten() for tensor in one]).double()
    b = torch.cat([tensor.flatten() for tensor in other]).double()
    return float((a - b).norm() / a.norm())


def main() -> None:
    """Run all cases; rank 0 prints."""
    store = Store(sys.argv[1])
    prepare_process(1, 1)
    rank, ranks = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
    wanted = sorted({case[3:] for case in cases()})[rank::ranks]
    parts = MPI.COMM_WORLD.allgather(
        {choices: plain_gradient(store, configuration(*choices)) for choices in wanted})
    plain = {choices: gradient for part in parts for choices, gradient in part.items()}
    errors = {}
    by_group = itertools.groupby(cases(), key=lambda case: (case.ranks, case.backend))
    for (members, backend), together in by_group:
        inside = rank < members
        world = MPI.COMM_WORLD.Split(0 if inside else 1)
        if inside:
            communicator = Communicator(world)
            communicator.machines = [f"pair {rank // 2}" for rank in range(members)]
            communicator.connect(backend)
            group = Group(communicator)
            with communicator.together():
                for case in together:
                    divided = divided_gradient(
                        store, configuration(*case[3:]), group, communicator.rank, case.shares)
                    error = relative_error(plain[case[3:]], divided)
                    # Every rank must hold the sum, not just rank 0.
                    errors[" ".join(map(str, case))] = float(world.allreduce(error, MPI.MAX))
        MPI.COMM_WORLD.Barrier()
    if rank == 0:
        print(json.dumps(errors))


if __name__ == "__main__":
    main()

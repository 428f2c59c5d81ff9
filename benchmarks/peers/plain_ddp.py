"""The training loop of the PyTorch tutorials: DDP, DistributedSampler, DataLoader.

    python -m torch.distributed.run --nproc-per-node 2 \
        -m benchmarks.peers.plain_ddp STORE --updates 30

The same model, optimizer, batch and length as the trainer's; prints the seconds of each update
as JSON. Reviews are padded to the store's length, as most such scripts do it; --inputs longest
cuts a batch to its longest review; packed sequences make torch's LSTM on CPUs several times
slower, and so do denormal numbers, which --keep-denormals leaves as torch has them.
"""

import argparse
import json
import os
import time

import h5py
import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from mpi_train.exchange.process_groups import leave
from reviews.store import Store


class Classifier(nn.Module):
    """Embedding, LSTM, mean and maximum over the real words, one logit."""

    def __init__(self, words: int, options: argparse.Namespace) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, options.embedding_dim)
        self.lstm = nn.LSTM(options.embedding_dim, options.hidden_dim, batch_first=True,
                            bidirectional=options.bidirectional)
        self.packed = options.inputs == "packed"
        width = options.hidden_dim * (2 if options.bidirectional else 1)
        self.output = nn.Linear(2 * width, 1)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits (n,) of tokens (n, T)."""
        x = self.dropout(self.embedding(tokens))
        if self.packed:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            x, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        else:
            x, _ = self.lstm(x)
        outside = (torch.arange(x.shape[1]) >= lengths[:, None])[:, :, None]
        mean = x.masked_fill(outside, 0).sum(1) / lengths[:, None]
        highest = x.masked_fill(outside, -torch.inf).max(1).values
        return self.output(self.dropout(torch.cat([mean, highest], 1))).squeeze(1)


def load(store: Store) -> TensorDataset:
    """All training rows as tensors."""
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        rows = file["train"]
        return TensorDataset(
            torch.from_numpy(rows["tokens"][:].astype("int32")),
            torch.from_numpy(rows["length"][:].astype("int64")),
            torch.from_numpy(rows["label"][:].astype("float32")),
        )


def main() -> None:
    """One rank."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=1024, help="over all ranks")
    parser.add_argument("--embedding-dim", type=int, default=100)
    parser.add_argument("--hidden-dim", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--inputs", choices=("padded", "longest", "packed"), default="padded")
    parser.add_argument("--keep-denormals", action="store_true")
    options = parser.parse_args()
    torch.set_flush_denormal(not options.keep_denormals)
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // int(os.environ["WORLD_SIZE"])))
    torch.distributed.init_process_group("gloo")
    torch.manual_seed(0)
    store = Store(options.store)
    rows = load(store)
    sampler: DistributedSampler = DistributedSampler(rows, shuffle=True, drop_last=True)
    size = options.batch_size // torch.distributed.get_world_size()
    loader = DataLoader(rows, size, sampler=sampler, drop_last=True)
    model = DistributedDataParallel(Classifier(store.vocabulary_size, options))
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate, fused=True)
    loss_of = nn.BCEWithLogitsLoss()

    seconds: list[float] = []
    epoch = 0
    while len(seconds) < options.updates:
        sampler.set_epoch(epoch)
        epoch += 1
        started = time.perf_counter()
        for tokens, lengths, labels in loader:
            optimizer.zero_grad()
            if options.inputs != "padded":
                tokens = tokens[:, : lengths.max()]
            loss_of(model(tokens, lengths), labels).backward()
            optimizer.step()
            seconds.append(time.perf_counter() - started)
            started = time.perf_counter()
            if len(seconds) == options.updates:
                break
    if torch.distributed.get_rank() == 0:
        print(json.dumps(seconds))
    leave()


if __name__ == "__main__":
    main()

"""The BiLSTM that one would write in an afternoon: what `reviewmill bench accuracy` is beside.

    python -m benchmarks.peers.plain_bilstm STORE --seed 0

128 per direction, mean and maximum of the outputs, Adam at one cycle, 4 epochs of random batches
that are cut to their longest review. Prints test and validation accuracy and seconds as JSON.
"""

import argparse
import json
import time

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from reviews.store import Store

BATCH, RATE, EPOCHS, DROPOUT = 128, 2e-3, 4, 0.3


class Classifier(nn.Module):
    """Embedding, BiLSTM, mean and maximum over the real words, one logit."""

    def __init__(self, words: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, dim, padding_idx=0)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(4 * hidden, 1)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits (n,) of tokens (n, T)."""
        x, _ = self.lstm(self.dropout(self.embedding(tokens)))
        outside = (torch.arange(x.shape[1]) >= lengths[:, None])[:, :, None]
        mean = x.masked_fill(outside, 0).sum(1) / lengths[:, None]
        highest = x.masked_fill(outside, -torch.inf).max(1).values
        return self.output(self.dropout(torch.cat([mean, highest], 1))).squeeze(1)


def load(store: Store, split: str) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (n, L), lengths and labels (n,)."""
    with h5py.File(store.path / "reviews.h5", locking=False) as file:
        rows = file[split]
        return (torch.from_numpy(rows["tokens"][:].astype(np.int32)),
                torch.from_numpy(rows["length"][:].astype(np.int64)),
                torch.from_numpy(rows["label"][:].astype(np.float32)))


def accuracy(model: nn.Module, store: Store, split: str) -> float:
    """Part of the split that the model is right about."""
    tokens, lengths, labels = load(store, split)
    right = 0
    model.eval()
    with torch.inference_mode():
        for rows in lengths.argsort().split(512):
            logits = model(tokens[rows, : int(lengths[rows].max())], lengths[rows])
            right += int(((logits > 0) == (labels[rows] > 0)).sum())
    return right / len(labels)


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--hidden-dim", type=int, default=128)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    store = Store(options.store)
    tokens, lengths, labels = load(store, "train")
    model = Classifier(store.vocabulary_size, 128, options.hidden_dim)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    updates = options.epochs * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=updates)
    loss_of = nn.BCEWithLogitsLoss()
    started = time.perf_counter()
    for _ in range(options.epochs):
        for rows in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            width = int(lengths[rows].max())
            loss_of(model(tokens[rows, :width], lengths[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - started
    print(json.dumps({"test": accuracy(model, store, "test"),
                      "validation": accuracy(model, store, "validation"), "seconds": seconds}))


if __name__ == "__main__":
    main()

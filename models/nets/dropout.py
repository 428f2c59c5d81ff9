"""Dropout masks that belong to the review, not to the rank that happens to train on it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reviews.hashing import hash_key

# Places at which every model draws; layer i of a model with layers drops its input at
# LAYERS + i.
WORDS, LAYERS, POOLED, NGRAMS = 0, 1, 1 << 16, 1 << 17


def _signed(value: int) -> int:
    """The int64 with the bits of a uint64: torch multiplies int64 modulo 2^64."""
    return value - (1 << 64) if value >= 1 << 63 else value


GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def shift_right(values: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch's own keeps the sign)."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def mix(values: Tensor) -> Tensor:
    """SplitMix64's output function over int64 values of any shape (reviews.hashing: uint64)."""
    values = (values ^ shift_right(values, 30)) * _FIRST
    values = (values ^ shift_right(values, 27)) * _SECOND
    return values ^ shift_right(values, 31)


@dataclass(frozen=True)
class DropoutRandom:
    """The random numbers of some reviews of one update: a function of what is named here.

    A draw is keyed by (seed, epoch, update), the review's position in the global batch, the
    place in the model and the element, so it is the same on whatever rank, in whatever
    micro-batch, and on whatever device the review is trained on.
    """

    key: int
    positions: Tensor  # (n,) int64: positions in the global batch

    @classmethod
    def of(cls, seed: int, epoch: int, update: int, positions: Tensor) -> "DropoutRandom":
        """The draws of the reviews at these positions of an update's batch."""
        return cls(hash_key(seed, epoch, update), positions)

    def dropped(self, place: int, width: int, probability: float) -> Tensor:
        """(n, width) bool, each True with the given probability."""
        key = _signed(hash_key(self.key, place))
        rows = mix(self.positions * GOLDEN + key)  # (n,)
        elements = torch.arange(1, width + 1, device=rows.device) * GOLDEN  # (width,)
        bits = shift_right(mix(rows[:, None] + elements), 40)  # 24 random bits each
        return bits < round(probability * (1 << 24))

    def scale(self, place: int, width: int, probability: float, dtype: torch.dtype) -> Tensor:
        """(n, width) factors of inverted dropout: 0, or 1 / (1 - probability)."""
        kept = ~self.dropped(place, width, probability)
        return kept.to(dtype) / (1 - probability)


def drop_words(
    tokens: Tensor, draws: DropoutRandom | None, probability: float, unknown: int
) -> Tensor:
    """Tokens (n, T) with some of them replaced by the unknown word."""
    if draws is None or probability == 0:
        return tokens
    return tokens.masked_fill(draws.dropped(WORDS, tokens.shape[1], probability), unknown)


def drop(x: Tensor, draws: DropoutRandom | None, place: int, probability: float) -> Tensor:
    """Locked dropout: one factor per review and channel of x (..., n, D)."""
    if draws is None or probability == 0:
        return x
    return x * draws.scale(place, x.shape[-1], probability, x.dtype)

"""Words of a store: how often each class uses them, and which ones tell the classes apart."""

from dataclasses import dataclass

import h5py
import numpy as np

from reviews.errors import UserError
from reviews.store import CHUNK_ROWS, ChunkReader, Store
from reviews.vocabulary import read_vocabulary

Array = np.ndarray
ROWS = 500_000  # training reviews that are looked at, which is enough for any list of words
PRIOR_WORDS = 10_000  # of the whole corpus, that each class is said to have used before


@dataclass(frozen=True)
class Words:
    """Words of training reviews, in the order of their ids."""

    words: list[str]
    counts: Array  # (classes, words) int64
    reviews: int
    total: int  # words, with those that are not in the vocabulary


def count_words(store: Store, rows: int = ROWS) -> Words:
    """The words that are stored of the first `rows` training reviews.

    A shard holds reviews by their hashes, so the first ones are as good as any.
    """
    counts = np.zeros((len(store.classes), store.vocabulary_size), np.int64)
    seen = 0
    for shard in store.shards("train"):
        try:
            with h5py.File(shard.path, "r", locking=False) as file:
                columns = [ChunkReader(file[f"train/{name}"]) for name in
                           ("tokens", "length", "label")]
                for chunk in range(-(-shard.rows // CHUNK_ROWS)):
                    if seen >= rows:
                        break
                    ids, sizes, labels = (column.read(chunk) for column in columns)
                    kept = np.arange(ids.shape[1]) < sizes[:, None]
                    for number in range(len(counts)):
                        some = labels == number
                        counts[number] += np.bincount(
                            ids[some][kept[some]], minlength=counts.shape[1])
                    seen += len(labels)
        except (OSError, KeyError) as error:
            raise UserError(f"{shard.path} cannot be read: {error}; "
                            "reviewmill inspect --verify says more") from None
    known = read_vocabulary(store.vocabulary_file)
    total = int(counts.sum())
    # What a tokenizer puts around every review tells nothing.
    counts[:, list(store.manifest["special"].values())] = 0
    return Words(known, counts[:, store.vocabulary_size - len(known) :], seen, total)


def telling(words: Words, number: int) -> tuple[Array, Array]:
    """z (words,) of how much more likely one class is to use a word than the others, and how
    many times as often it does.

    The log-odds ratio with a prior from the whole corpus, over its standard deviation: Monroe,
    Colaresi, Quinn 2008, "Fightin' Words", equations 16 to 22.
    """
    own = words.counts[number].astype(float)
    rest = words.counts.sum(0) - own
    prior = PRIOR_WORDS * (own + rest) / max(1.0, float((own + rest).sum()))
    odds = []
    for some in (own, rest):
        total = float(some.sum()) + PRIOR_WORDS
        odds.append((some + prior) / np.maximum(total - some - prior, 1e-9))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(1 / (own + prior) + 1 / (rest + prior))
        z = np.nan_to_num(np.log(odds[0] / odds[1]) / spread)
        times = (own / max(1.0, own.sum())) / (rest / max(1.0, rest.sum()))
    return z, times

"""Split of the rows by cuts of merged histograms (design: Split)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mapreduce.job_lines import PartitionLine
from mapreduce.partitions.histogram import Histogram
from reviews.errors import UserError
from reviews.recipe import Selection
from reviews.text.strings import hash_strings, mix_hashes

Array = np.ndarray
UNUSED = 3  # after train, validation, test
SALT_SPLIT, SALT_SAMPLE = 1, 2


def sampled(keys: Array, rules: Selection) -> Array:
    """Mask (n,) bool of the rows in the sample: those of a smaller fraction stay in a larger."""
    limit = np.uint64(min(int(rules.sample * 2**64), 2**64 - 1))
    return mix_hashes(keys, 4 * rules.seed + SALT_SAMPLE) <= limit


def split_keys(rules: Selection, identity: Array, rows: pa.Table) -> Array:
    """Keys (n,) uint64 that are ordered and cut: a hash, or the time with null as 0."""
    salt = 4 * rules.seed + SALT_SPLIT
    if rules.split_by == "time":
        # Shifted so that negative times stay in order; 0 is left for rows without a time.
        times = np.asarray(rows["time"].fill_null(-(2**62)), np.int64)
        keys = (times + 2**62).astype(np.uint64)
        return np.minimum(keys, np.uint64(2**63))
    own = mix_hashes(np.ascontiguousarray(identity[:, 0]), salt)
    if rules.split_by == "review":
        return own
    names = rows[rules.split_by].combine_chunks()
    hashes = mix_hashes(np.ascontiguousarray(hash_strings(names)[:, 0]), salt)
    return np.where(np.asarray(names.is_null()), own, hashes)


@dataclass(frozen=True)
class Cuts:
    """For each stratum the keys at which validation, test and the unused rows begin."""

    starts: dict[int, tuple[int, int, int]]

    def assign(self, strata: Array, keys: Array, given: Array) -> Array:
        """The split (n,) uint8 of each row: 0 train, 1 validation, 2 test, 3 unused.

        given (n,) uint8 names the split of rows that came with one, else 0.
        """
        out = given.copy()
        for stratum, starts in self.starts.items():
            here = (strata == stratum) & (given == 0)
            # Python integers: the last boundary may be 2**64.
            part = np.zeros(int(here.sum()), np.uint8)
            for start in starts:
                if start < 2**64:
                    part += keys[here] >= np.uint64(start)
            out[here] = part
        return out


def cuts_of(rules: Selection, partitions: Iterable[PartitionLine]) -> Cuts:
    """The cuts that give the wanted split, from the lines of all partitions."""
    histograms: dict[int, Histogram] = {}
    given: set[int] = set()
    given_rows = [0, 0, 0]
    for line in partitions:
        for stratum, text in line["histograms"].items():
            one = Histogram.decode(text)
            key = int(stratum)
            histograms[key] = histograms[key].merge(one) if key in histograms else one
        for split, n in enumerate(line["given"]):
            given_rows[split] += n
        given |= {split for split in (1, 2) if line["given_splits"][split]}
    total = sum(h.total for h in histograms.values())
    wanted = [0.0 if i in given else float(part) for i, part in enumerate(rules.split)]
    if rules.split_is_rows:
        if sum(wanted) > total and not rules.shrink_split:
            raise UserError(
                f"the split asks for {sum(wanted):.0f} rows, but the corpus has {total}; "
                "--shrink-split takes the same fractions of these"
            )
        fractions = [part / max(total, sum(wanted)) for part in wanted]
    else:
        # A given split replaces its fraction; the others share the rest in proportion.
        scale = sum(rules.split) / (sum(wanted) or 1.0) if given else 1.0
        fractions = [part * scale for part in wanted]
    starts: dict[int, tuple[int, int, int]] = {}
    for stratum, histogram in histograms.items():
        n, ranks, so_far = histogram.total, [], 0.0
        for fraction in fractions:
            so_far += fraction
            ranks.append(so_far * n)
        # What rounding left of a whole belongs to the last split, not to nobody.
        everything = so_far > 1 - 1e-9
        ends = [histogram.cut(rank) for rank in ranks]
        if everything:
            last = max(i for i, f in enumerate(fractions) if f > 0)
            ends[last:] = [2**64] * (3 - last)
        starts[stratum] = (ends[0], ends[1], ends[2])
    return Cuts(starts)


def strata_of(rules: Selection, labels: Array) -> Array:
    """The group (n,) uint8 in which a row is cut: its label, or one group for all."""
    return labels if rules.split_by == "review" else np.zeros(len(labels), np.uint8)



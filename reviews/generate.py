"""A seeded corpus of reviews for the demo and the tests, as McAuley's JSON lines.

The language is invented, its statistics are not: words follow Zipf's law, lengths are
log-normal, three quarters of the reviews are positive, about one in eleven is a copy of another
one (some under another rating). Opinion sits in phrases such as "great", "very poor" or
"wasn't really bad": counting words finds most of it, and reading them in order finds more,
since a negation turns the word after it round. The language is the same for every seed, so that
a model of one corpus can be tried on another.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from isal import igzip
from numpy.typing import NDArray

from reviews.errors import UserError

_COMMON = """
    the and i it to a of is was this for in that my with on you have as be but are so had at one
    just they from or if when can all out we me them an would there has up your what get which
    were use time more by will than like about then some its after other two only don't also
    really do too been first these did because well over even into back product bought
"""
_POSITIVE = """
    great good love perfect excellent best nice happy easy favorite beautiful wonderful amazing
    awesome recommend comfortable sturdy enjoyed solid fantastic pleased fun worth delicious
    smooth impressed reliable brilliant
"""
_NEGATIVE = """
    bad poor disappointed broke waste cheap terrible worst horrible awful boring useless returned
    defective refund flimsy hate annoying difficult stopped failed ugly weak noisy wrong leaked
    mediocre junk
"""
_NEGATORS = "not never isn't wasn't hardly"
_INTENSIFIERS = "very really so extremely quite absolutely"
_MARKUP = ["&amp;", "&#34;", "&quot;", "<br />", "&lt;3", "&#39;"]

_WORDS = 20_000  # of which Zipf's law draws
_OPINIONS = 160  # words of each polarity
_ONSETS = "b br c ch cl d dr f fl g gr h j k l m n p pl pr r s sh sl st t tr v w"
_VOWELS = "a e i o u ai ea ee oo ou"
_QUANTILES = 1 << 20
_BATCH = 8192  # reviews made at a time
_LONGEST = 2000  # words

_RATING_SHARES = np.array([0.127, 0.09, 0.08, 0.203, 0.50])  # 76 % of those that are not 3
_AGREEMENT = np.array([0.1, 0.2, 0.5, 0.8, 0.9])  # share of positive phrases, by rating
_SPREAD = 0.1  # of that share among reviews of one rating
_NOISE = 0.03  # reviews whose rating says nothing about their text
_SLOTS = 0.4  # of the stretches of four words that hold an opinion
_NEGATED, _INTENSIFIED = 0.18, 0.25
_COPIES, _RERATED = 0.1, 0.25  # copies among reviews; other ratings among copies
_WITH_MARKUP = 0.12  # reviews with HTML in them

# Endings that a word may carry, and how often; a sentence ends in the last three.
_ENDINGS = ("", ",", ".", "!", "?")
_ENDING_SHARES = np.array([0.86, 0.055, 0.065, 0.015, 0.005])
_FORMS = 3  # lower case, Capital, CAPITALS


def generate(
    path: str | Path, reviews: int = 50_000, seed: int = 0, files: int = 1, length: float = 1.0
) -> list[Path]:
    """Write a corpus and return its files: `path`, or path-00000 and so on when there are more.

    Reviews have 100 words on average, times `length`, and 900 bytes of JSON, 600 at 0.6.

    The same reviews and seed give the same bytes, and the same lines for any number of files;
    names that end in .gz are compressed. Files appear whole or not at all.
    """
    if reviews < 0 or files < 1:
        raise UserError(f"{reviews} reviews in {files} files cannot be generated")
    paths = _paths(Path(path), files)
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    cuts = [reviews * part // files for part in range(files + 1)]
    lines = _Lines(_batches(reviews, seed, length))
    for part, target in enumerate(paths):
        with _whole_file(target) as file:
            lines.write(file, cuts[part + 1] - cuts[part])
    return paths


def _paths(path: Path, files: int) -> list[Path]:
    if files == 1:
        return [path]
    stem, dot, endings = path.name.partition(".")
    return [path.with_name(f"{stem}-{part:05d}{dot}{endings}") for part in range(files)]


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that gets its name at the end."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as raw:
            if path.suffix == ".gz":
                with igzip.GzipFile("", "wb", compresslevel=2, fileobj=raw, mtime=0) as packed:
                    yield packed  # type: ignore[misc]
            else:
                yield raw
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _Lines:
    """The lines of all batches, handed out as many at a time as a file wants."""

    def __init__(self, batches: Iterator[pa.StringArray]) -> None:
        self._batches = batches
        self._left = pa.array([], pa.string())

    def write(self, file: BinaryIO, count: int) -> None:
        while count:
            if not len(self._left):
                self._left = next(self._batches)
            part, self._left = self._left[:count], self._left[count:]
            count -= len(part)
            offsets = np.frombuffer(part.buffers()[1], np.int32)
            first, last = offsets[part.offset], offsets[part.offset + len(part)]
            file.write(part.buffers()[2].slice(first, last - first))


@dataclass(frozen=True)
class _Language:
    """Spellings of every word: the first word's forms with their endings, then the next's.

    `draw` (_QUANTILES) is the word at each quantile of Zipf's law; the opinions, negators and
    intensifiers are words too.
    """

    spellings: pa.StringArray
    draw: NDArray[np.int32]
    opinions: NDArray[np.int32]  # (2, _OPINIONS): negative, positive
    negators: NDArray[np.int32]
    intensifiers: NDArray[np.int32]
    markup: NDArray[np.int32]


def _invented(rng: np.random.Generator, count: int, taken: set[str]) -> list[str]:
    """Pronounceable words, the shorter ones first on the whole."""
    codas = [*[""] * 12, "n", "r", "l", "s", "t", "m", "nd", "ck", "st"]
    syllables = [o + v + c for o in _ONSETS.split() for v in _VOWELS.split() for c in codas]
    drawn = rng.integers(len(syllables), size=(2 * count, 4)).tolist()
    words: dict[str, None] = {}
    for chosen in drawn:
        parts = 2 + (len(words) > count // 20) + (len(words) > count // 2)
        words["".join([syllables[i] for i in chosen[:parts]])] = None
    return [word for word in words if word not in taken][:count]


def _language() -> _Language:
    rng = np.random.default_rng(20190513)  # the language does not depend on the corpus's seed
    good, poor = _POSITIVE.split(), _NEGATIVE.split()
    negators, intensifiers = _NEGATORS.split(), _INTENSIFIERS.split()
    strange = ["caf\u00e9", "na\u00efve", "5-star", "24/7", "\u2026", "it\u2019s", '\\"best\\"']
    known = [*_COMMON.split(), *negators, *intensifiers, *strange]
    invented = _invented(rng, _WORDS + 2 * _OPINIONS, {*known, *good, *poor})
    positive = [*good, *invented[: _OPINIONS - len(good)]]
    negative = [*poor, *invented[_OPINIONS : 2 * _OPINIONS - len(poor)]]
    neutral = [*known, *invented[2 * _OPINIONS :]]
    words = [*neutral, *negative, *positive, *_MARKUP]
    place = {word: number for number, word in enumerate(words)}

    def places(wanted: list[str]) -> NDArray[np.int32]:
        return np.array([place[word] for word in wanted], np.int32)

    lower = pa.array(words)
    forms = [lower, pc.utf8_capitalize(lower), pc.utf8_upper(lower)]
    plain = place[_MARKUP[0]]  # from here on: no forms and no endings
    columns = []
    for form in forms:
        kept = pc.if_else(pa.array(np.arange(len(words)) < plain), form, lower)
        for ending in _ENDINGS:
            endings = pa.array([ending] * plain + [""] * len(_MARKUP))
            columns.append(pc.binary_join_element_wise(kept, endings, ""))
    table = pa.concat_arrays(columns)
    order = np.arange(len(table)).reshape(len(columns), len(words)).T.ravel()

    weights = 1 / (np.arange(len(neutral)) + 2.7) ** 1.05
    bounds = np.cumsum(weights) / weights.sum()
    draw = np.searchsorted(bounds, (np.arange(_QUANTILES) + 0.5) / _QUANTILES).astype(np.int32)
    return _Language(
        table.take(pa.array(order)),
        draw,
        np.stack([places(negative), places(positive)]),
        places(negators),
        places(intensifiers),
        places(_MARKUP),
    )


def _batches(reviews: int, seed: int, scale: float) -> Iterator[pa.StringArray]:
    """The lines of the corpus, _BATCH at a time."""
    language = _language()
    names = np.random.default_rng([seed, 0])
    reviewers = _identifiers(names, max(reviews // 5, 10), b"A", 13)
    products = _identifiers(names, max(reviews // 40, 5), b"B", 9)
    first_texts, first_rating = pa.array([], pa.string()), np.zeros(0, np.int64)
    for number, begin in enumerate(range(0, reviews, _BATCH)):
        rng = np.random.default_rng([seed, 1, number])
        n = min(_BATCH, reviews - begin)
        rating = rng.choice(5, n, p=_RATING_SHARES)
        meant = np.where(rng.random(n) < _NOISE, rng.integers(0, 5, n), rating)
        drawn = scale * np.exp(rng.normal(4.17, 0.94, n))
        length = np.clip(drawn, 2, _LONGEST).astype(np.int64)
        texts = _join(language, _words(language, rng, meant, length), length)
        source = _copied(rng, n, len(first_texts))
        same_rating = rng.random(n) >= _RERATED
        texts = pa.concat_arrays([texts, first_texts]).take(pa.array(source))
        rating = np.where(same_rating, np.concatenate([rating, first_rating])[source], rating)
        if not number:
            first_texts, first_rating = texts, rating
        yield _lines(
            rng, texts, rating,
            reviewers.take(pa.array(_skewed(rng, len(reviewers), n))),
            products.take(pa.array(_skewed(rng, len(products), n))),
            _join(language, _summaries(language, rng, meant), np.full(n, 3)),
        )  # fmt: skip


def _identifiers(rng: np.random.Generator, count: int, letter: bytes, size: int) -> pa.Array:
    """`count` names of one letter and `size` digits and capitals, as Amazon's."""
    signs = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
    drawn = signs[rng.integers(36, size=(count, size + 1))]
    drawn[:, 0] = letter[0]
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(size + 1), count, [None, pa.py_buffer(np.ascontiguousarray(drawn))]
    )
    return fixed.cast(pa.binary()).cast(pa.string())


def _skewed(rng: np.random.Generator, size: int, n: int) -> NDArray[np.int64]:
    """Numbers below size (n); small ones are many times as frequent."""
    return (size * rng.random(n) ** 2).astype(np.int64)


def _copied(rng: np.random.Generator, n: int, first: int) -> NDArray[np.int64]:
    """Number of each review's text (n): its own, an earlier one, or one (n and up) of the first."""
    own = np.arange(n)
    other = (own * rng.random(n)).astype(np.int64)
    if first:
        other = np.where(rng.random(n) < 0.5, n + rng.integers(0, first, n), other)
    return np.where(rng.random(n) < _COPIES, other, own)


def _words(
    language: _Language,
    rng: np.random.Generator,
    meant: NDArray[np.int64],
    length: NDArray[np.int64],
) -> NDArray[np.int32]:
    """The words of all reviews, one review after the other (sum of length).

    Each stretch of four words may hold one opinion, in its third or fourth place; a negation
    or an intensifier takes the places before it.
    """
    total = int(length.sum())
    starts = np.cumsum(length) - length
    words = language.draw[rng.integers(0, _QUANTILES, total, dtype=np.int32)]
    review = np.repeat(np.arange(len(length)), length)
    local = np.arange(total) - starts[review]

    slots = total // 4
    at = 4 * np.arange(slots) + rng.integers(2, 4, slots)
    at = at[(rng.random(slots) < _SLOTS) & (local[at] >= 2)]
    share = np.clip(_AGREEMENT[meant] + rng.normal(0, _SPREAD, len(meant)), 0.02, 0.98)
    positive = rng.random(len(at)) < share[review[at]]
    negated = rng.random(len(at)) < _NEGATED
    intensified = rng.random(len(at)) < _INTENSIFIED
    which = (_OPINIONS * rng.random(len(at)) ** 3).astype(np.int64)
    words[at] = language.opinions[(positive ^ negated).astype(np.int64), which]
    before = at[intensified] - 1
    words[before] = rng.choice(language.intensifiers, len(before))
    before = at[negated] - 1 - intensified[negated]
    words[before] = rng.choice(language.negators, len(before))

    marked = np.flatnonzero((rng.random(len(length)) < _WITH_MARKUP)[review])
    marked = marked[rng.random(len(marked)) < 0.03]
    words[marked] = rng.choice(language.markup, len(marked))

    ending = rng.choice(len(_ENDINGS), 1 << 16, p=_ENDING_SHARES)[rng.integers(0, 1 << 16, total)]
    ending[starts + length - 1] = 2
    form = (rng.random(total, np.float32) < 0.01).astype(np.int64) * 2
    form[starts] = 1
    form[1:][ending[:-1] >= 2] = 1
    return ((words * _FORMS + form) * len(_ENDINGS) + ending).astype(np.int32)


def _summaries(
    language: _Language, rng: np.random.Generator, meant: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Titles of three words, one after the other (3 n): the second one is an opinion."""
    n = len(meant)
    words = language.draw[rng.integers(0, _QUANTILES, (n, 3))]
    positive = (rng.random(n) < _AGREEMENT[meant]).astype(np.int64)
    words[:, 1] = language.opinions[positive, (_OPINIONS * rng.random(n) ** 3).astype(np.int64)]
    form = np.array([1, 0, 0])
    return ((words * _FORMS + form) * len(_ENDINGS)).ravel().astype(np.int32)


def _join(
    language: _Language, spelled: NDArray[np.int32], length: NDArray[np.int64]
) -> pa.StringArray:
    """Spelled words -> one text per review, with spaces between the words."""
    bounds = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(bounds), language.spellings.take(pa.array(spelled)))
    return pc.binary_join(lists, " ")


def _lines(
    rng: np.random.Generator,
    texts: pa.StringArray,
    rating: NDArray[np.int64],
    reviewers: pa.StringArray,
    products: pa.StringArray,
    summaries: pa.StringArray,
) -> pa.StringArray:
    """McAuley's JSON, one object a line. Spellings are escaped for JSON already."""
    n = len(texts)
    days = (12_000 + 4_200 * np.sqrt(rng.random(n))).astype(np.int64)  # more and more of them
    stars = pa.array(["1.0", "2.0", "3.0", "4.0", "5.0"]).take(pa.array(rating))
    return pc.binary_join_element_wise(
        '{"reviewerID": "', reviewers, '", "asin": "', products, '", "reviewText": "', texts,
        '", "overall": ', stars, ', "summary": "', summaries, '", "unixReviewTime": ',
        pa.array(days * 86_400).cast(pa.string()), "}\n", "",
    )  # fmt: skip

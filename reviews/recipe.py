"""Rules of the preparation as a tree of options, and the presets.

The keys of recipe files are the leaves of the tree, in this order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from reviews.errors import UserError
from reviews.options import (
    build,
    check_bounds,
    from_mapping,
    near,
    option,
    replace_flat,
    to_mapping,
)
from reviews.text.stop_words import nltk_stop_words

SPLITS = ("train", "validation", "test")
KEYS = ("reviewer", "product", "time", "source")
HUGGING_FACE = "huggingface:"
CLASSES = {
    "two": ("negative", "positive"),
    "three": ("negative", "neutral", "positive"),
    "ratings": ("1", "2", "3", "4", "5"),
}
STARS = (1.0, 5.0)  # the rating scale of a recipe that names none
_LIMITS = {"positive_from": 4.0, "negative_to": 2.0}

# The commands that have an option; one that says how to read files is one of evaluate, too.
_STORES = ("prepare",)
_GROUPS = ("prepare", "score")
_TEXTS = ("prepare", "clean")
_LABELS = (*_TEXTS, "evaluate")


@dataclass(frozen=True)
class Rules:
    """Options that are checked as soon as they are there."""

    def __post_init__(self) -> None:
        check_bounds(self)
        self._check()

    def _check(self) -> None:
        """Raise UserError for values that are no good, alone or together."""


@dataclass(frozen=True)
class InputFormat(Rules):
    """Format of the input, and the fields to read."""

    format: str = option(
        "auto", "format of the input", ("auto", "amazon", "jsonl", "fasttext", "csv", "parquet")
    )
    delimiter: str | None = option(None, "delimiter of CSV columns; tab for tabs")
    columns: tuple[str, ...] = option((), "names of the columns of CSV without a header")
    quotes: bool = option(True, "quoted fields in CSV; without, quotes are text")
    quoted_newlines: bool = option(
        True, "newlines inside quoted CSV fields; without them big files are read in parts"
    )
    literal_stray_quotes: bool = option(
        False, "quotes in CSV are text where fields quoted by them would swallow rows",
        later=True)
    json_nan: bool = option(
        False, "NaN and Infinity in JSON, as Python writes them, are null", later=True)
    text_field: str | None = option(None, "field that holds the text")
    title_field: str | None = option(None, "field that is put before the text: 'title: text'")
    rating_field: str | None = option(
        None, "field that holds the rating, 1 to 5", commands=_LABELS)
    label_field: str | None = option(
        None, "field that holds the label; ratings decide without it", commands=_LABELS)
    reviewer_field: str | None = option(None, "field that names the reviewer", commands=_STORES)
    product_field: str | None = option(None, "field that names the product", commands=_GROUPS)
    time_field: str | None = option(None, "field that holds the time", commands=_GROUPS)
    source_field: str | None = option(
        None, "field that names the source, such as a shop or an app", later=True,
        commands=_STORES)
    keep_keys: tuple[str, ...] = option(
        (), f"keys to store beside the tokens, hashed but for the time: {', '.join(KEYS)}",
        later=True, commands=_STORES)
    features: tuple[str, ...] = option(
        (), "fields beside the text to store: numbers such as likes, or FIELD:category, FIELD:time",
        commands=_STORES)
    feature_values: int = option(
        32, "number of values of a category that get columns, most frequent first",
        at_least=1, commands=_STORES)
    best_features: int = option(
        0, "number of feature columns to store, those with the highest mutual information with "
        "the label in the training split (0: all)", at_least=0, later=True, commands=_STORES)

    def _check(self) -> None:
        mark = self.delimiter_mark
        if mark is not None and (len(mark) != 1 or not mark.isascii() or mark in '"\r\n'):
            raise UserError(f"delimiter is {self.delimiter!r}: give one ASCII character, or tab")
        if len(set(self.features)) < len(self.features) or "" in self.features:
            raise UserError(f"features {','.join(self.features)}: name each field once")
        if len(set(self.keep_keys)) < len(self.keep_keys) or set(self.keep_keys) - set(KEYS):
            raise UserError(f"keep_keys {','.join(self.keep_keys)}: name some of "
                            f"{', '.join(KEYS)}, each once")
        if "source" in self.keep_keys and self.source_field is None:
            raise UserError("keep_keys source: name its field with --source-field")

    @property
    def delimiter_mark(self) -> str | None:
        """The mark between CSV columns, None where the file shows it."""
        return "\t" if self.delimiter in ("tab", "\\t") else self.delimiter


@dataclass(frozen=True)
class Labels(Rules):
    """Ratings and labels, and the classes made from them."""

    rating_scale: tuple[float, ...] = option(
        (), "lowest,highest rating, 1,5 by default; the two limits below then are three and one "
        "quarter of it, or in its units", later=True, commands=_LABELS)
    rating_texts: bool = option(
        False, "texts that carry a rating: '4.0 out of 5 stars', '8/10', stars as glyphs, '4,5', "
        "'Rated 4'", later=True, commands=_LABELS)
    positive_from: float = option(4.0, "lowest positive rating", commands=_TEXTS)
    negative_to: float = option(
        2.0, "highest negative rating; between: dropped as neutral",
        commands=_TEXTS)
    classes: str = option(
        "two", "classes: two; three, with neutral; or the five ratings", tuple(CLASSES),
        commands=_TEXTS)
    neutral_values: tuple[str, ...] = option(
        (), "values of the label field that are dropped as neutral", later=True,
        commands=_LABELS)
    missing: str = option(
        "bad", "records without a text, a rating or a label: bad, or dropped and counted",
        ("bad", "drop"), later=True, commands=_LABELS)
    label_values: tuple[str, ...] = option(
        (), "values of the label field, class by class, such as 1,2 or 'bad|poor,good'",
        commands=_LABELS
    )

    def _check(self) -> None:
        self._check_scale()
        if self.negative_to >= self.positive_from:
            raise UserError(
                f"negative_to {self.negative_to} is not below positive_from {self.positive_from}"
            )
        known = {value.lower() for values in self.label_values for value in values.split("|")}
        if both := known & {value.lower() for value in self.neutral_values}:
            raise UserError(f"{', '.join(sorted(both))}: both in label_values and neutral_values")
        if self.label_values and len(self.label_values) != len(self.class_names):
            raise UserError(
                f"label_values are {len(self.label_values)}, but the classes are "
                f"{', '.join(self.class_names)}"
            )

    def _check_scale(self) -> None:
        """Raise UserError for a scale that is none, or limits and classes that do not fit it."""
        if not self.rating_scale:
            return
        shown = _commas(self.rating_scale)
        if len(self.rating_scale) != 2 or self.rating_scale[0] >= self.rating_scale[1]:
            raise UserError(f"rating_scale is {shown}: give the lowest and the highest rating")
        low, high = self.rating_scale
        if self.positive_from > high or self.negative_to < low:
            raise UserError(f"positive_from {self.positive_from:g} and negative_to "
                            f"{self.negative_to:g} are not both on the rating_scale {shown}")
        if self.classes == "ratings" and high - low != len(self.class_names) - 1:
            raise UserError(f"classes ratings want five steps, as 1 to 5 has: rating_scale {shown}")

    @property
    def rating_range(self) -> tuple[float, float]:
        """The lowest and the highest rating."""
        return (self.rating_scale[0], self.rating_scale[1]) if self.rating_scale else STARS

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return CLASSES[self.classes]


@dataclass(frozen=True)
class Cleaning(Rules):
    """Changes of the text before it is cut into tokens."""

    escaped_newlines: str = option(
        "by-layout", "newlines written as a backslash and an n: undone in CSV that has the "
        "columns of Amazon polarity alone; where they are found; always; or never",
        ("by-layout", "find", "always", "never"), later=True, commands=_TEXTS)
    html: bool = option(True, "decode HTML entities and remove tags", commands=_TEXTS)
    nfkc: bool = option(
        False, "bring characters into Unicode's compatibility form NFKC",
        commands=_TEXTS)
    remove_links: bool = option(False, "remove addresses of the web", commands=_TEXTS)
    remove_emails: bool = option(False, "remove e-mail addresses", commands=_TEXTS)
    squeeze_repeats: bool = option(
        False, "cut three or more equal letters or marks to two",
        commands=_TEXTS)
    emoticon_words: bool = option(
        False, "turn :) and the like into words of their own",
        commands=_TEXTS)
    emoji_words: bool = option(False, "turn emoji into words of their own", commands=_TEXTS)
    mark_capitals: bool = option(
        False, "put a word, allcaps, before words in capitals",
        commands=_TEXTS)
    expand_contractions: bool = option(
        False, "write don't as do not, it's as it is",
        commands=_TEXTS)
    fold_ascii: bool = option(
        False, "bring letters and marks to ASCII; emoji stay",
        commands=_TEXTS)


@dataclass(frozen=True)
class Tokenization(Rules):
    """Tokens of a text, and texts that have too few."""

    tokenizer: str = option(
        "words", "tokenizer: words, or huggingface:FOLDER for the tokenizer.json of a folder",
        commands=_STORES)
    tokens: str = option(
        "words+marks",
        "kind of tokens: runs of a-z; words of any script with inner apostrophes; "
        "or these and single punctuation marks",
        ("letters", "words", "words+marks"),
        commands=_TEXTS)
    unspaced_characters: bool = option(
        False, "characters of scripts without spaces (Han, Kana, Thai, Lao, Khmer, Myanmar) are "
        "words by themselves", later=True, commands=_TEXTS)
    stop_words: tuple[str, ...] = option(
        (), "stop words, which are left out; @nltk stands for NLTK's list",
        commands=_TEXTS)
    min_words: int = option(
        1, "number of words below which a review is dropped; marks are no words",
        at_least=1, commands=_TEXTS)
    drop_marks_alone: bool = option(
        False, "reviews of marks alone are dropped, as those without any word are", later=True,
        commands=_TEXTS)

    def _check(self) -> None:
        if self.tokenizer != "words" and not self.tokenizer.removeprefix(HUGGING_FACE):
            raise UserError("tokenizer huggingface: needs a folder, huggingface:FOLDER")
        if self.tokenizer != "words" and not self.tokenizer.startswith(HUGGING_FACE):
            raise UserError(f"tokenizer is {self.tokenizer!r}: give words or huggingface:FOLDER")


@dataclass(frozen=True)
class Selection(Rules):
    """Reviews that are kept, and the split that each goes to."""

    dedupe: str = option(
        "text", "key of equal reviews, of which one is kept", ("none", "text", "reviewer-product"),
        commands=_STORES)
    sample: float = option(
        1.0, "fraction of the corpus to keep, chosen by hash",
        above=0, at_most=1, wanted="a fraction above 0, at most 1", commands=_STORES)
    split: tuple[float, ...] = option(
        (0.8, 0.1, 0.1), "sizes of train,validation,test: fractions or rows",
        commands=_STORES)
    shrink_split: bool = option(
        False, "take the fractions of --split where there are fewer rows than it names",
        commands=_STORES)
    split_by: str = option(
        "review", "key of reviews that stay together in one split",
        ("review", "reviewer", "product", "time"),
        commands=_STORES)
    seed: int = option(
        0, "seed of sampling and splitting",
        at_least=0, at_most=2**32 - 1, commands=_STORES)

    def _check(self) -> None:
        if len(self.split) != 3 or min(self.split) < 0 or sum(self.split) <= 0:
            raise UserError(f"split is {_commas(self.split)}: give three numbers >= 0, not all 0")
        if self.split_is_rows and any(part % 1 for part in self.split):
            raise UserError(f"split rows {_commas(self.split)} are not whole numbers")
        if not self.split_is_rows and sum(self.split) > 1 + 1e-9:
            raise UserError(f"split fractions {_commas(self.split)} add up to more than 1")

    @property
    def split_is_rows(self) -> bool:
        """True when the split names numbers of rows instead of fractions of all rows."""
        return any(part > 1 for part in self.split)


@dataclass(frozen=True)
class Encoding(Rules):
    """Vocabulary, and the token ids of a review."""

    vocabulary_size: int = option(
        30_000, "number of words in the vocabulary, most frequent first",
        at_least=1, commands=_STORES)
    min_count: int = option(
        1, "number of occurrences in the training split below which a word is unknown",
        at_least=1, commands=_STORES)
    length: int = option(
        256, "number of token ids per review", at_least=1, at_most=65_535, commands=_STORES)
    keep: str = option(
        "head+tail", "truncation of longer reviews: words that are kept", ("head", "head+tail"),
        commands=_STORES)


@dataclass(frozen=True)
class Recipe(Rules):
    """Rules that make raw reviews rows of a store. `resolved` replaces names of word lists."""

    input: InputFormat = InputFormat()
    labels: Labels = Labels()
    cleaning: Cleaning = Cleaning()
    tokens: Tokenization = Tokenization()
    selection: Selection = Selection()
    encoding: Encoding = Encoding()
    max_bad_fraction: float = option(
        0.01, "fraction of records that may be unreadable; more stop the run",
        at_least=0, at_most=1, commands=_TEXTS)

    @classmethod
    def of(cls, **values: Any) -> "Recipe":
        """The recipe with these values of keys over the defaults."""
        return build(cls, values)

    def resolved(self) -> "Recipe":
        """The recipe with named word lists replaced by their words, so it stands by itself."""
        words: set[str] = set()
        for entry in self.tokens.stop_words:
            words.update(nltk_stop_words() if entry == "@nltk" else [entry])
        return replace_flat(self, stop_words=tuple(sorted(words)))

    def to_yaml(self, every: bool = False) -> str:
        """The recipe as YAML, one key a line; `every` as in `to_mapping`."""
        return yaml.safe_dump(to_mapping(self, every), sort_keys=False, allow_unicode=True)


# A safe one, libyaml's where PyYAML was built with it: tasks read recipes again and again.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_recipe(name: str = "default", changes: Mapping[str, Any] | None = None) -> Recipe:
    """A preset by name, or a recipe file, with the given changes laid over it.

    A preset is laid over the default one; a recipe file over the defaults of the keys, so that
    one that was made before a key existed does what it did.
    """
    presets = {path.name[:-5]: path for path in resources.files("reviews.recipes").iterdir()
               if path.name.endswith(".yaml")}
    if name in presets:
        data, where = presets[name].read_bytes(), f"recipe {name}"
    elif Path(name).is_file():
        data, where = Path(name).read_bytes(), name
    else:
        known = ", ".join(sorted(presets))
        raise UserError(f"no recipe {name!r}{near(name, presets)}; presets: {known}, or a file")
    values = _read_yaml(data, where)
    if name in presets and name != "default":
        values = {**_read_yaml(presets["default"].read_bytes(), "recipe default"), **values}
    values = {**values, **limits_on(values, {})}
    changes = dict(changes or {})
    return from_mapping(Recipe, {**values, **limits_on(changes, values), **changes}, where)


def limits_on(changes: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, float]:
    """positive_from and negative_to on the rating scale of the changes, where these name one and
    not the limits: as far up the scale as the limits of the values (keys of a recipe) are."""
    try:
        low, high = map(float, changes.get("rating_scale") or ())
        first, last = map(float, values.get("rating_scale") or STARS)
        share = {name: (float(values.get(name, stars)) - first) / (last - first)
                 for name, stars in _LIMITS.items() if name not in changes}
    except (TypeError, ValueError, ZeroDivisionError):
        return {}  # none is named, or what is no scale, which the recipe will refuse
    return {name: low + part * (high - low) for name, part in share.items()}


def _read_yaml(data: bytes, where: str) -> dict[str, Any]:
    """The keys and values of a recipe file."""
    try:
        values = _Loader(data).get_single_data() or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{where} is not a mapping of keys to values")
    return values


def _commas(numbers: tuple[float, ...]) -> str:
    return ",".join(f"{number:g}" for number in numbers)

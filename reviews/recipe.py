"""Every choice of the preparation in one frozen dataclass, and the presets."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from reviews.errors import UserError
from reviews.options import from_mapping, near, option, to_mapping

SPLITS = ("train", "validation", "test")
HUGGING_FACE = "huggingface:"
CLASSES = {
    "two": ("negative", "positive"),
    "three": ("negative", "neutral", "positive"),
    "ratings": ("1", "2", "3", "4", "5"),
}


@dataclass(frozen=True)
class Recipe:
    """How raw reviews become rows of a store. `resolved` replaces names of word lists."""

    format: str = option(
        "auto", "format of the input", ("auto", "amazon", "jsonl", "fasttext", "csv", "parquet")
    )
    delimiter: str | None = option(None, "mark between CSV columns; tab for tabs")
    columns: tuple[str, ...] = option((), "names of the columns of CSV without a header")
    quotes: bool = option(True, "CSV fields may be quoted; without, quotes are text")
    quoted_newlines: bool = option(
        True, "quoted CSV fields may hold newlines; without them big files are read in parts"
    )
    text_field: str | None = option(None, "field that holds the text")
    title_field: str | None = option(None, "field that is put before the text: 'title: text'")
    rating_field: str | None = option(None, "field that holds the rating, 1 to 5")
    label_field: str | None = option(None, "field that holds the label; ratings decide without it")
    reviewer_field: str | None = option(None, "field that names the reviewer")
    product_field: str | None = option(None, "field that names the product")
    time_field: str | None = option(None, "field that holds the time")
    features: tuple[str, ...] = option(
        (), "fields beside the text to store: numbers such as likes, or FIELD:category, FIELD:time"
    )
    feature_values: int = option(32, "values of a category that get columns, most frequent first")
    positive_from: float = option(4.0, "ratings from here on are positive")
    negative_to: float = option(2.0, "ratings up to here are negative; between: dropped as neutral")
    classes: str = option(
        "two", "two; three: neutral is kept as a class; or the five ratings", tuple(CLASSES)
    )
    label_values: tuple[str, ...] = option(
        (), "what the label field holds, class by class, such as 1,2 or 'bad|poor,good'"
    )
    html: bool = option(True, "decode HTML entities and remove tags")
    nfkc: bool = option(False, "bring characters into Unicode's compatibility form NFKC")
    remove_links: bool = option(False, "remove addresses of the web")
    remove_emails: bool = option(False, "remove e-mail addresses")
    squeeze_repeats: bool = option(False, "cut three or more equal letters or marks to two")
    emoticon_words: bool = option(False, "turn :) and the like into words of their own")
    emoji_words: bool = option(False, "turn emoji into words of their own")
    mark_capitals: bool = option(False, "put a word, allcaps, before words in capitals")
    expand_contractions: bool = option(False, "write don't as do not, it's as it is")
    fold_ascii: bool = option(False, "bring letters and marks to ASCII; emoji stay")
    tokenizer: str = option(
        "words", "words, or huggingface:FOLDER for the tokenizer.json of a folder"
    )
    tokens: str = option(
        "words+marks",
        "what a token is: runs of a-z; words of any script with inner apostrophes; "
        "or these and single punctuation marks",
        ("letters", "words", "words+marks"),
    )
    stop_words: tuple[str, ...] = option((), "words to leave out; @nltk stands for NLTK's list")
    min_words: int = option(1, "reviews of fewer words are dropped; marks are no words")
    dedupe: str = option(
        "text", "what makes two reviews one", ("none", "text", "reviewer-product")
    )
    sample: float = option(1.0, "fraction of the corpus to keep, chosen by hash")
    split: tuple[float, ...] = option((0.8, 0.1, 0.1), "train,validation,test: fractions or rows")
    shrink_split: bool = option(
        False, "where there are fewer rows than --split names, take its fractions of them"
    )
    split_by: str = option(
        "review", "what stays together in one split", ("review", "reviewer", "product", "time")
    )
    seed: int = option(0, "seed of sampling and splitting")
    vocabulary_size: int = option(30_000, "words kept, most frequent first")
    min_count: int = option(1, "words that occur less often in the training split are unknown")
    length: int = option(256, "token ids per review")
    keep: str = option(
        "head+tail", "which words of a longer review are kept", ("head", "head+tail")
    )
    max_bad_fraction: float = option(0.01, "stop when more records than this cannot be read")

    def __post_init__(self) -> None:
        if len(self.split) != 3 or min(self.split) < 0 or sum(self.split) <= 0:
            raise UserError(f"split is {_commas(self.split)}: give three numbers >= 0, not all 0")
        if self.split_is_rows and any(part % 1 for part in self.split):
            raise UserError(f"split rows {_commas(self.split)} are not whole numbers")
        if not self.split_is_rows and sum(self.split) > 1 + 1e-9:
            raise UserError(f"split fractions {_commas(self.split)} add up to more than 1")
        if not 0 < self.sample <= 1:
            raise UserError(f"sample is {self.sample}: give a fraction above 0, at most 1")
        if not 0 <= self.max_bad_fraction <= 1:
            raise UserError(f"max_bad_fraction is {self.max_bad_fraction}: give 0 to 1")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed is {self.seed}: give 0 to {2**32 - 1}")
        if not 1 <= self.length <= 65_535:
            raise UserError(f"length is {self.length}: give 1 to 65535")
        if self.vocabulary_size < 1:
            raise UserError(f"vocabulary_size is {self.vocabulary_size}: give 1 or more")
        mark = self.delimiter_mark
        if mark is not None and (len(mark) != 1 or not mark.isascii() or mark in '"\r\n'):
            raise UserError(f"delimiter is {self.delimiter!r}: give one ASCII character, or tab")
        if self.tokenizer != "words" and not self.tokenizer.removeprefix(HUGGING_FACE):
            raise UserError("tokenizer huggingface: needs a folder, huggingface:FOLDER")
        if self.tokenizer != "words" and not self.tokenizer.startswith(HUGGING_FACE):
            raise UserError(f"tokenizer is {self.tokenizer!r}: give words or huggingface:FOLDER")
        if len(set(self.features)) < len(self.features) or "" in self.features:
            raise UserError(f"features {','.join(self.features)}: name each field once")
        if self.feature_values < 1:
            raise UserError(f"feature_values is {self.feature_values}: give 1 or more")
        if self.min_words < 1 or self.min_count < 1:
            raise UserError("min_words and min_count are 1 or more")
        if self.negative_to >= self.positive_from:
            raise UserError(
                f"negative_to {self.negative_to} is not below positive_from {self.positive_from}"
            )
        if self.label_values and len(self.label_values) != len(self.class_names):
            raise UserError(
                f"label_values are {len(self.label_values)}, but the classes are "
                f"{', '.join(self.class_names)}"
            )

    @property
    def delimiter_mark(self) -> str | None:
        """The mark between CSV columns, None where the file shows it."""
        return "\t" if self.delimiter in ("tab", "\\t") else self.delimiter

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return CLASSES[self.classes]

    @property
    def split_is_rows(self) -> bool:
        """Whether the split names numbers of rows instead of fractions of all rows."""
        return any(part > 1 for part in self.split)

    def resolved(self) -> "Recipe":
        """The recipe with named word lists replaced by their words, so it stands by itself."""
        words: set[str] = set()
        for entry in self.stop_words:
            words.update(_nltk_stop_words() if entry == "@nltk" else [entry])
        return dataclasses.replace(self, stop_words=tuple(sorted(words)))

    def to_yaml(self) -> str:
        """The recipe as YAML, one key a line."""
        return yaml.safe_dump(to_mapping(self), sort_keys=False, allow_unicode=True)


# A safe one, libyaml's where PyYAML was built with it: tasks read recipes again and again.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_recipe(name: str = "default", changes: Mapping[str, Any] | None = None) -> Recipe:
    """A preset by name, or a recipe file, with the given changes laid over it."""
    presets = {path.name[:-5]: path for path in resources.files("reviews.recipes").iterdir()
               if path.name.endswith(".yaml")}
    if name in presets:
        data, where = presets[name].read_bytes(), f"recipe {name}"
    elif Path(name).is_file():
        data, where = Path(name).read_bytes(), name
    else:
        known = ", ".join(sorted(presets))
        raise UserError(f"no recipe {name!r}{near(name, presets)}; presets: {known}, or a file")
    try:
        values = _Loader(data).get_single_data() or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{where} is not a mapping of keys to values")
    return from_mapping(Recipe, {**values, **(changes or {})}, where)


def _commas(numbers: tuple[float, ...]) -> str:
    return ",".join(f"{number:g}" for number in numbers)


def _nltk_stop_words() -> list[str]:
    from nltk.corpus import stopwords

    try:
        return list(stopwords.words("english"))
    except LookupError:
        raise UserError(
            "the recipe wants NLTK's stop words, which are not installed: "
            "run 'python -m nltk.downloader stopwords', or set NLTK_DATA"
        ) from None

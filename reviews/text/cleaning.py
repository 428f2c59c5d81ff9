"""Texts as they were written -> texts as the tokenizer gets them, by the recipe's rules.

The rules are applied in the order of `clean`. Some put words into the text that stand for what
the tokenizer does not keep: emoticons, emoji, capitals. These words have letters a-z alone, so
that they outlive every tokenizer.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reviews.recipe import Recipe
from reviews.text.characters import emoji_words, fold_ascii, squeeze_repeats
from reviews.text.contractions import expand_contractions
from reviews.text.html import clean_html
from reviews.text.subwords import Subwords
from reviews.text.tokenizer import Tokenizer, Tokens

Array = np.ndarray
Rule = tuple[str, str]  # a regular expression that RE2 and Python understand alike, what it becomes

_SPACE = r" \t\n\r\f\v"
LINKS: list[Rule] = [(rf"(?:[Hh][Tt][Tt][Pp][Ss]?://|\b[Ww][Ww][Ww]\.)[^{_SPACE}<>\"]+", " ")]
EMAILS: list[Rule] = [
    (r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9][A-Za-z0-9\-]*(?:\.[A-Za-z0-9\-]+)+", " ")
]
ESCAPES: list[Rule] = [(r"(?:\\r)*\\n", "\n")]
EMOTICONS: list[Rule] = [
    (r"[:;=]'-?\(+", " emoticoncry "),
    (r"[:=]-?[)\]]+|\(+-?[:=]", " emoticonsmile "),
    (r"[:=]-?[(\[]+|\)+-?[:=]", " emoticonsad "),
    (r";-?\)+", " emoticonwink "),
    (r"[:=]-?D+\b|\b[xX]D+\b", " emoticonlaugh "),
    (r"[:=]-?[pP]+\b", " emoticontongue "),
    (r"[:=]-?[oO0]\b", " emoticonsurprise "),
    # The space first: Python's $ is before the last newline too, that of RE2 is not.
    (r"[:=]-?[/\\|](?:[ \t\n\r]|$)", " emoticondoubt "),
    (r"</3", " emoticonbrokenheart "),
    (r"<3+", " emoticonheart "),
]
# One mark before a run of words in capitals, so that a text all in capitals is not doubled.
CAPITALS: list[Rule] = [(r"\b[A-Z]{2,}(?:[^A-Za-z0-9]+[A-Z]{2,})*\b", r"allcaps \g")]


def clean(texts: pa.Array, recipe: Recipe) -> pa.Array:
    """The texts (no nulls), cleaned by the rules that the recipe has switched on."""
    if recipe.escaped_newlines == "always":
        texts = replace_all(texts, ESCAPES)
    if recipe.html:
        texts = clean_html(texts)
    for name, rule in _APPLIED.items():
        if getattr(recipe, name):
            texts = rule(texts)
    return texts


def replace_all(texts: pa.Array, rules: list[Rule]) -> pa.Array:
    """The texts (no nulls) after all replacements, one rule after the other."""
    any_of = "|".join(f"(?:{pattern})" for pattern, _ in rules)
    touched = pc.match_substring_regex(texts, any_of)
    some = texts.filter(touched)
    if not len(some):
        return texts
    for pattern, replacement in rules:
        some = pc.replace_substring_regex(some, pattern, replacement.replace(r"\g", r"\0"))
    return pc.replace_with_mask(texts, touched, some)


# The switches of the recipe, in the order in which their rules are applied after HTML.
_APPLIED: dict[str, Callable[[pa.Array], pa.Array]] = {
    "nfkc": lambda texts: pc.utf8_normalize(texts, "NFKC"),
    "remove_links": lambda texts: replace_all(texts, LINKS),
    "remove_emails": lambda texts: replace_all(texts, EMAILS),
    "squeeze_repeats": squeeze_repeats,
    "emoticon_words": lambda texts: replace_all(texts, EMOTICONS),
    "emoji_words": emoji_words,
    "mark_capitals": lambda texts: replace_all(texts, CAPITALS),
    "expand_contractions": expand_contractions,
    "fold_ascii": fold_ascii,
}
RULES = tuple(_APPLIED)


def wordless(tokens: Tokens, tokenizer: Tokenizer | Subwords, recipe: Recipe) -> Array:
    """Texts (n,) bool without any token; where the recipe says so, those of marks alone too."""
    if recipe.drop_marks_alone:
        return np.asarray(_words(tokens, tokenizer) == 0)
    return np.asarray(np.diff(tokens.ends, prepend=0) == 0)


def too_short(tokens: Tokens, tokenizer: Tokenizer | Subwords, recipe: Recipe) -> Array:
    """Texts (n,) bool of fewer words than the recipe wants; marks are no words."""
    if recipe.min_words == 1:  # a text without any token is dropped as such
        return np.zeros(len(tokens.ends), bool)
    return np.asarray(_words(tokens, tokenizer) < recipe.min_words)


def _words(tokens: Tokens, tokenizer: Tokenizer | Subwords) -> Array:
    """The number (n,) of words of each text, without marks."""
    marks = tokenizer.marks()
    is_mark = np.zeros(len(tokenizer.table), bool)
    is_mark[marks] = True
    before = np.concatenate([[0], np.cumsum(~is_mark[tokens.ids])])
    return np.diff(before[tokens.ends], prepend=0)

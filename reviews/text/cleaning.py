"""Texts as they were written -> texts as the tokenizer gets them, by the recipe's rules.

The rules are applied in the order of `clean`. Some put words into the text that stand for what
the tokenizer does not keep: emoticons, emoji, capitals. These words have letters a-z alone, so
that they outlive every tokenizer.
"""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from reviews.recipe import Cleaning
from reviews.text.characters import emoji_words, fold_ascii, squeeze_repeats
from reviews.text.contractions import expand_contractions
from reviews.text.html import clean_html

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


def clean(texts: pa.Array, rules: Cleaning) -> pa.Array:
    """The texts (no nulls), cleaned by the rules that are switched on."""
    if rules.escaped_newlines == "always":
        texts = replace_all(texts, ESCAPES)
    if rules.html:
        texts = clean_html(texts)
    for name, rule in _APPLIED.items():
        if getattr(rules, name):
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

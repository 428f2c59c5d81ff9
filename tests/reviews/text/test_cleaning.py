"""Cleaning: every rule does to whole blocks what plain Python does to one text."""

import gzip
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reviews.recipe import Cleaning, Recipe
from reviews.text.characters import ascii_of, emoji_word, is_emoji, squeeze_text
from reviews.text.cleaning import CAPITALS, EMAILS, EMOTICONS, LINKS, Rule, clean
from reviews.text.contractions import expand_text
from tests.mapreduce.corpus import run, stored_rows, write_reviews
from tests.requirements import need

DATA = Path(__file__).parents[4] / "shared" / "data" / "amazon" / "mcauley"
RULES = ("nfkc", "remove_links", "remove_emails", "squeeze_repeats", "emoticon_words",
         "emoji_words", "mark_capitals", "expand_contractions", "fold_ascii")  # fmt: skip


def by_regex(rules: list[Rule]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        for pattern, replacement in rules:
            text = re.sub(pattern, replacement.replace(r"\g", r"\g<0>"), text, flags=re.ASCII)
        return text

    return apply


ORACLES: dict[str, Callable[[str], str]] = {
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "remove_links": by_regex(LINKS),
    "remove_emails": by_regex(EMAILS),
    "squeeze_repeats": squeeze_text,
    "emoticon_words": by_regex(EMOTICONS),
    "emoji_words": lambda text: "".join(
        f" {emoji_word(c)} " if is_emoji(c) else c for c in text),
    "mark_capitals": by_regex(CAPITALS),
    "expand_contractions": expand_text,
    "fold_ascii": lambda text: "".join(map(ascii_of, text)),
}  # fmt: skip


def only(*rules: str) -> Cleaning:
    return Cleaning(html=False, **dict.fromkeys(rules, True))  # type: ignore[arg-type]


def cleaned(texts: list[str], *rules: str) -> list[str]:
    return clean(pa.array(texts, pa.string()), only(*rules)).to_pylist()


# Characters that this Python knows: newer tables compose more.
CHARACTERS = st.characters(codec="utf-8", exclude_categories=("Cn", "Co", "Cs"))
PIECES = st.sampled_from([
    "http://", "HTTPS://", "www.", "WWW.x", "@", "a@b.c", "x.y-z@mail.example.org", ".", "/", " ",
    "\t", "\n", "\x0b", "\u00a0", "\"", "<", ">", "don't", "can't", "WON'T", "Shan\u2019t", "ain't",
    "n't", "'t", "'re", "'VE", "'ll", "'d", "I'm", "it's", "Let's", "dog's", "'", "\u2019", "''",
    "you're'd", ":)", ":-(", "=D", "xD", ":'(", ";)", "<3", "</3", ":/", "(:", ":p", ":0", ":|",
    ":", ";", "=", "D", "A", "USB", "NEVER EVER", "aB", "Z9", "ss", "s", "!!!", "...", "ooo", "000",
    "\u00e9\u00e9\u00e9", "\U0001f600", "\U0001f600\U0001f600\U0001f600", "\U0001f44d\U0001f3fd",
    "\u2764\ufe0f", "\u2605", "\u00df", "\u00bd", "\u2026", "\ufb01", "\u65e5\u672c", "\u0301",
    "\u212a", "\u017f", "\U00020000", "\U000e0041", "\u200d", "\u201cq\u201d",
])  # fmt: skip
TEXTS = st.lists(st.lists(PIECES | CHARACTERS, max_size=12).map("".join), max_size=4)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=150, deadline=None)
@given(texts=TEXTS, cut=st.booleans())
def test_a_block_is_cleaned_as_plain_python_cleans_each_text(
    rule: str, texts: list[str], cut: bool
) -> None:
    array = pa.array(["before", *texts, ""], pa.string())
    array = array[1:-1] if cut else array
    expected = [ORACLES[rule](text) for text in array.to_pylist()]
    found = clean(array, only(rule))
    found.validate(full=True)
    assert found.to_pylist() == expected


@settings(max_examples=50, deadline=None)
@given(TEXTS)
@example([":/\n"])
def test_all_rules_together_are_applied_in_their_order(texts: list[str]) -> None:
    expected = texts
    for rule in RULES:
        expected = [ORACLES[rule](text) for text in expected]
    assert cleaned(texts, *RULES) == expected
    assert cleaned(texts) == texts


@pytest.mark.parametrize("rule", RULES)
def test_real_reviews_are_cleaned_as_plain_python_cleans_them(rule: str) -> None:
    need(DATA.is_dir(), "needs the review data")
    with gzip.open(DATA / "Books.json.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["reviewText"] for line in file]
    assert cleaned(texts, rule) == [ORACLES[rule](text) for text in texts]


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("nfkc", "\ufb01ne \uff21\u2460", "fine A1"),
        ("remove_links", 'see http://a.b/c?d=e&f, or <a href="https://x.y">www.q.r</a>.',
         'see   or <a href=" "> </a>.'),
        ("remove_links", "wwwhat a http:// awww.x", "wwwhat a http:// awww.x"),
        ("remove_emails", "me.x+y@mail.example.org! @you a@b", " ! @you a@b"),
        ("squeeze_repeats", "Sooooo good!!!! 1000 times...   yes", "Soo good!! 1000 times..   yes"),
        ("emoticon_words", "good :-))) <3", "good  emoticonsmile   emoticonheart "),
        ("emoticon_words", "http://x 10:30 a:b (see: this)", "http://x 10:30 a:b (see: this)"),
        ("emoji_words", "ok \U0001f44d\u2605", "ok  emojithumbsupsign  emojiblackstar "),
        ("mark_capitals", "I am NOT HAPPY at all, USB 3",
         "I am allcaps NOT HAPPY at all, allcaps USB 3"),
        ("expand_contractions", "I can't, WON'T, don\u2019t: it's Bob's",
         "I can not, will not, do not: it is Bob's"),
        ("expand_contractions", "they 're could n't let's I'd've",
         "they  are could not let us I would have"),
        ("fold_ascii", "na\u00efve \u201cStra\u00dfe\u201d \u2013 \u00bd \u65e5 \U0001f600",
         'naive "Strasse" - 1/2   \U0001f600'),
    ],
)  # fmt: skip
def test_what_a_rule_means(rule: str, text: str, expected: str) -> None:
    assert cleaned([text], rule) == [expected]


def test_the_words_that_rules_put_in_outlive_every_tokenizer() -> None:
    emoji = [chr(code) for code in range(0x2600, 0x1FB00) if is_emoji(chr(code))]
    words = [emoji_word(c) for c in emoji] + [r.strip() for _, r in EMOTICONS] + ["allcaps"]
    assert len(emoji) > 1000
    assert all(re.fullmatch("[a-z]+", word) for word in words)


def test_cleaning_decides_what_is_equal_and_what_the_words_are(tmp_path: Path) -> None:
    rows = [{"reviewText": text, "overall": 5} for text in
            ("I don't like www.spam.com :)", "i do not LIKE (:", "NEVER again \u2605")]
    path = write_reviews(tmp_path / "a.json", rows)
    recipe = Recipe.of(tokens="letters", split=(1.0, 0.0, 0.0), remove_links=True,
                       emoticon_words=True, emoji_words=True, expand_contractions=True)
    found = {row["words"] for row in stored_rows(run([path], tmp_path / "store", recipe))}
    assert found == {("i", "do", "not", "like", "emoticonsmile"),
                     ("never", "again", "emojiblackstar")}


@given(st.lists(st.sampled_from(["a", "\\n", "\\r", "\\", "n", "\n", " "])).map("".join))
def test_escaped_newlines_are_undone_before_everything_else(text: str) -> None:
    recipe = Recipe.of(html=False, escaped_newlines="always")
    expected = re.sub(r"(?:\\r)*\\n", "\n", text)
    assert clean(pa.array([text]), recipe.cleaning).to_pylist() == [expected]
    assert clean(pa.array([text]), Cleaning(html=False)).to_pylist() == [text]

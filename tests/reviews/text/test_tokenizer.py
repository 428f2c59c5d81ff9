"""The tokenizer kernel agrees with its rule, written as a regular expression."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize import RegexpTokenizer

from reviews.options import replace_flat
from reviews.recipe import Recipe, Tokenization
from reviews.text.strings import hash_strings, mix_hashes
from reviews.text.tokenizer import OVERREAD, Tokenizer
from reviews.text.word_rules import fold, pattern
from reviews.text.word_table import WordTable
from tests.requirements import need

RULES = ("letters", "words", "words+marks")
REAL = Path(__file__).parents[4] / "shared/data/amazon/labelled.jsonl.gz"


def words_of(texts: list[str], recipe: Recipe) -> list[list[str]]:
    tokenizer = Tokenizer(recipe.tokens)
    tokens = tokenizer.tokenize(pa.array(texts, pa.string()))
    spelled = tokenizer.table.words().to_pylist()
    starts = np.concatenate([[0], tokens.ends])
    return [
        [spelled[i] for i in tokens.ids[a:b]] for a, b in zip(starts, tokens.ends, strict=False)
    ]


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=300)
@given(texts=st.lists(st.text(), max_size=5))
@example(texts=["\u212a is Kelvin", "\u0130stanbul", "ΟΔΟΣ Σ", "don\u2019t rock 'n' roll'"])
@example(texts=["it's", "'", "a'", "'a", "a''b", "a'\u00e9'b", "", " "])
@example(texts=["cafe\u0301s", "\u0301a", "\u2764\ufe0f", "a'\u0301b", "हिन्दी", "a\u0301'b\u0301"])
@example(texts=["x" * 63 + "'s " + "it's" * 40, "don't{" * 30, "A" * 100, "a." * 70, "\x13" * 90])
@example(texts=["\U0001f600 good\U0001f44d", "\U00010400", "１２ ③ ½", "ﬁne \u01c5"])
def test_every_unicode_string_gives_the_words_of_the_rule(rule: str, texts: list[str]) -> None:
    expected = [re.findall(pattern(rule), fold(text)) for text in texts]
    assert words_of(texts, Recipe.of(tokens=rule)) == expected
    # Those of ASCII are read as they stand where enough bytes follow, the others from a copy.
    followed = [*texts, " " * OVERREAD]
    assert words_of(followed, Recipe.of(tokens=rule)) == [*expected, []]


UNSPACED_TEXTS = st.lists(st.text(
    st.sampled_from("aB9'\u2019. \u0301\u00e9我愛〇々カなー\uff76\uff9eกำ\u0e33\u0e48๑"
                    "ລາ\u0eb1កខ\u17d2မ\u1039가\U00020000!")
    | st.characters(codec="utf-8")), max_size=5)  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=60)
@given(texts=UNSPACED_TEXTS)
@example(texts=["房间太差，服务very好", "サービスが良い", "อาหารอร่อย", "a'我'b"])
@example(texts=["我" * 100 + "it's", "我\u0301a", "\u0301我", "9我9"])
@example(texts=["ອາຫານ", "អាហារ\u17d2", "မြန်မာ", "한국어 좋아요"])
def test_characters_of_scripts_without_spaces_are_words_by_themselves(
    rule: str, texts: list[str]
) -> None:
    recipe = Recipe.of(tokens=rule, unspaced_characters=True)
    expected = [re.findall(pattern(rule, unspaced_characters=True), fold(text)) for text in texts]
    assert words_of(texts, recipe) == expected
    assert words_of([*texts, " " * OVERREAD], recipe) == [*expected, []]


def test_a_chinese_clause_is_read_by_its_characters() -> None:
    assert words_of(["房间good差。"], Recipe.of(unspaced_characters=True)) == [
        ["房", "间", "good", "差"]]
    assert words_of(["房间good差。"], Recipe()) == [["房间good差"]]


@pytest.mark.parametrize("rule", RULES)
def test_nltk_finds_the_same_words_in_real_reviews(rule: str) -> None:
    need(REAL.is_file(), "the labelled reviews are not there")
    with gzip.open(REAL, "rt") as file:
        # The file is ordered by source: 2,000 lines of all of it.
        texts = [json.loads(line)["text"] for n, line in enumerate(file) if n % 110 == 0]
    assert len(texts) > 2000
    oracle = RegexpTokenizer(pattern(rule))
    assert words_of(texts, Recipe.of(tokens=rule)) == [oracle.tokenize(fold(t)) for t in texts]


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=100)
@given(texts=st.lists(st.text(), max_size=5), known=st.lists(st.text(), max_size=5),
       stops=st.sets(st.sampled_from(["a", "0", "é", "the"])))
@example(texts=["incomprehensibilities UNCHARACTERISTICALLY " * 300, "é incomprehensibilities"],
         known=["uncharacteristically x", "é"], stops=set())
def test_words_are_found_as_they_are_when_nothing_else_is_learned(
    rule: str, texts: list[str], known: list[str], stops: set[str]
) -> None:
    rules = Recipe.of(tokens=rule, stop_words=tuple(sorted(stops))).tokens
    tokenizer = Tokenizer(rules)
    tokenizer.tokenize(pa.array(known, pa.string()))
    size = len(tokenizer.table)
    for some in (texts, [*texts, " " * OVERREAD]):
        ids, ends = tokenizer.find(pa.array(some, pa.string()))
        assert len(tokenizer.table) == size
        learning = Tokenizer(rules)
        learning.tokenize(pa.array(known, pa.string()))
        learned = learning.tokenize(pa.array(some, pa.string()))
        assert ids.tolist() == np.minimum(learned.ids, size).tolist()
        assert ends.tolist() == learned.ends.tolist()


def test_stop_words_leave_no_trace_in_words_or_identity() -> None:
    recipe = Recipe.of(stop_words=("the", "a"))
    assert words_of(["The cat, a dog"], recipe) == [["cat", ",", "dog"]]
    tokens = Tokenizer(recipe.tokens).tokenize(pa.array(["the cat", "a cat", "cat"]))
    assert len(np.unique(tokens.identity, axis=0)) == 1


def test_identity_is_the_word_sequence_alone() -> None:
    texts = ["Good  tea", "good tea", "tea good", "goodtea", "good", "", "good tea tea"]
    identity = Tokenizer(Tokenization(tokens="letters")).tokenize(pa.array(texts)).identity
    assert (identity[0] == identity[1]).all()
    assert len(np.unique(identity[1:, 0])) == len(np.unique(identity[1:, 1])) == 6


def test_identities_do_not_depend_on_the_table_or_the_block() -> None:
    texts = [f"word{i} and word{i % 7} again" for i in range(5000)]
    whole = Tokenizer(Tokenization()).tokenize(pa.array(texts))
    backwards = Tokenizer(Tokenization()).tokenize(pa.array(texts[::-1]))
    assert (whole.identity == backwards.identity[::-1]).all()
    part = Tokenizer(Tokenization()).tokenize(pa.array(texts)[100:200])
    assert (whole.identity[100:200] == part.identity).all()


@settings(max_examples=100)
@given(st.lists(st.text(max_size=20)))
def test_a_word_table_gives_each_word_one_id_and_keeps_its_spelling(words: list[str]) -> None:
    table = WordTable(words=2)
    ids = table.intern(pa.array(words, pa.string()))
    assert table.words().to_pylist() == list(dict.fromkeys(words))
    assert [table.words()[i].as_py() for i in ids] == words


def test_a_word_table_finds_what_it_has_and_adds_nothing() -> None:
    table = WordTable(words=2)
    table.intern(pa.array(["tea", "a word of more than sixteen bytes", "", "a\0b"]))
    asked = ["", "cup", "a\0b", "a\0c", "tea", "a word of more than sixteen bytes too",
             "a word of more than sixteen bytes"]
    assert table.find(pa.array(asked)).tolist() == [2, -1, 3, -1, 0, -1, 1]
    assert len(table) == 4
    assert WordTable().find(pa.array(asked[:2])).tolist() == [-1, -1]


def test_long_words_with_equal_hashes_stay_apart() -> None:
    words = pa.array(["incomprehensibilities", "uncharacteristically!"])
    table, other = WordTable(), WordTable()
    table.intern(words[:1])
    other.intern(words[1:])
    # As it would be if the first word had the key of the second; only the bytes differ.
    table.slots[:], table.keys[0] = other.slots, other.keys[0]
    assert table.intern(words[1:]).tolist() == [1]
    assert table.words().to_pylist() == words.to_pylist()


def test_null_is_unlike_every_string() -> None:
    hashes = hash_strings(pa.array(["", "a", None, "a"]))
    assert len(np.unique(hashes, axis=0)) == 3
    assert len(np.unique(mix_hashes(hashes[:, 0].copy(), 1))) == 3


def test_recipes_differ_in_one_key_only() -> None:
    assert words_of(["It's 5 stars!"], replace_flat(Recipe(), tokens="words")) == [
        ["it's", "5", "stars"]
    ]
